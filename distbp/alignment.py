"""Where operands begin in memory: the bits of a kernel may depend on it."""

ALIGNMENT = 64  # bytes: a cache line, and the widest vector of a CPU


def round_up(n: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that is not below n."""
    return -(-n // multiple) * multiple
