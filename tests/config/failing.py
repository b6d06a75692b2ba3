"""A module of somebody else's that cannot be imported."""

raise RuntimeError("no soil")
