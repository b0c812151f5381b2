"""Statistics of datasets, one per file."""
