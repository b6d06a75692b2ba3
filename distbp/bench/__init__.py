"""Measured comparisons that a user can run on a machine of their own."""
