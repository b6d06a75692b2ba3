"""An nn.Module and its loss as a straight line of mappings, and the Python source of its backward pass."""
