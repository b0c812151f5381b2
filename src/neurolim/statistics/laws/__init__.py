"""The law of a neuron beside its limit."""
