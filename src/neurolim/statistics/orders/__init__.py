"""How fast a limit is reached."""
