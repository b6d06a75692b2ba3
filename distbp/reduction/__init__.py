"""How the gradients of many parts become one sum: the plan of the buckets and the order of the sums."""
