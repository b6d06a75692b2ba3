"""Transport: how tensors travel between the workers. No room below this one, and no model in it."""
