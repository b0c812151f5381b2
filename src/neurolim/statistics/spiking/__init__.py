"""Spikes, mixed-mode oscillations and regimes."""
