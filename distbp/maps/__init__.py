"""Mathematics: one mapping is a forward pass and its vector-Jacobian product, side by side."""
