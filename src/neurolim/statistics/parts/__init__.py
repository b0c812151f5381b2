"""What several statistics share."""
