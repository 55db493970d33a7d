"""Whether synthetic positives help a classifier that has few real ones."""
