"""Pictures of networks in balance."""
