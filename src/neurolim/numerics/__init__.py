"""Numerical methods that know nothing of neurons (numpy, numba and scipy only)."""
