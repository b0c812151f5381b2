"""Runs: who may work on a study, and how far it is."""
