"""Archives: studies and their results as one file that a stranger can open, check and repeat."""
