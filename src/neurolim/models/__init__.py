"""Networks of neurons, one per file."""
