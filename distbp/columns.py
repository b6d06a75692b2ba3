"""A table as text: cells one under the other."""

from collections.abc import Iterator, Sequence


def columns(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """The lines with their cells under one another, two spaces apart; those of the columns on the ``right`` end
    together, the others begin together.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        yield "  ".join(f"{c:>{w}}" if r else f"{c:<{w}}" for c, w, r in cells).rstrip()
