"""Networks that classify patches, and the weights that they begin from."""
