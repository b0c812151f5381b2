"""The law of one neuron among infinitely many, and closed forms of it."""
