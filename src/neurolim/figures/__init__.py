"""Pictures of datasets, one per file."""
