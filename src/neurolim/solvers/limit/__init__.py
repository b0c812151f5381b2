"""What is left of a network in a limit: equations for its mean, and what they do."""
