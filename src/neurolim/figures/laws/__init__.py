"""Pictures of laws and of means over time and space."""
