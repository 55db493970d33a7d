"""What is written beside the page: report.json, datasheet, model card, Croissant."""
