"""Pictures of agreement with closed forms."""
