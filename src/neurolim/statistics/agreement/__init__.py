"""Whether a network agrees with a closed form or another solver."""
