"""Arrays on disk: files that are whole or absent, and a study's dataset made of them."""
