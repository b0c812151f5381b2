"""How fast the laws of two copies approach each other."""
