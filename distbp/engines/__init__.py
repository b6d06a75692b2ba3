"""Two ways to the same gradients: a program of mappings, and torch's tape."""
