"""Networks in balance of excitation and inhibition."""
