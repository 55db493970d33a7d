"""The report as one HTML page: words, pictures and templates. Nothing is computed here."""
