"""Levels of description, one per file."""
