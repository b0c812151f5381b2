"""Compiled loops over neurons."""
