"""Pictures of contraction."""
