"""Pictures of how fast a limit is reached."""
