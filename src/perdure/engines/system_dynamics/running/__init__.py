"""Running: simulations of a compiled model, their states, and values of single elements."""
