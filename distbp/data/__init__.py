"""Which sample goes where, and how it gets there."""
