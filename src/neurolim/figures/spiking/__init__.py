"""Pictures of spikes, and of regimes over parameters."""
