"""What a check found, as tables."""

from collections.abc import Iterator, Mapping, Sequence

from distbp.check.finding import Finding
from distbp.columns import columns


def table(findings: Sequence[Finding]) -> str:
    """A row for each thing that was examined, a column for each law; ``!`` stands where a law does not hold."""
    laws = list(dict.fromkeys(f.law for f in findings))
    lines = [("layer", "what", *laws), *(line(row, laws) for row in rows(findings))]
    return "\n".join(columns(lines, [False, False, *(True for _ in laws)]))


def rows(findings: Sequence[Finding]) -> Iterator[dict[str, Finding]]:
    """Findings that follow one another and are about one thing, by law."""
    row: dict[str, Finding] = {}
    for f in findings:
        first = next(iter(row.values()), f)
        if f.law in row or (f.layer, f.what) != (first.layer, first.what):
            yield row
            row = {}
        row[f.law] = f
    if row:
        yield row


def line(row: Mapping[str, Finding], laws: Sequence[str]) -> tuple[str, ...]:
    """The cells of a row."""
    first = next(iter(row.values()))
    return first.layer, first.what, *(shown(row.get(law)) for law in laws)


def shown(f: Finding | None) -> str:
    """An error, if there is one."""
    if f is None:
        return ""
    return f"{f.error:.1e}{'' if f.holds else ' !'}" if f.error else "0"


def worst(findings: Sequence[Finding], meanings: Mapping[str, str]) -> str:
    """For each law its worst error beside what is allowed there, where that is, and what the law says."""
    by_law = {law: [f for f in findings if f.law == law] for law in meanings}
    found = {law: max(some, key=lambda f: (not f.holds, f.error)) for law, some in by_law.items() if some}
    head = ("law", "worst", "allowed", "where", "what is compared")
    lines = [
        (law, shown(f), f"{f.bound:.0e}" if f.bound else "0", f"{f.layer}: {f.what}" if f.error else "", meanings[law])
        for law, f in found.items()
    ]
    return "\n".join(columns([head, *lines], [False, True, True, False, False]))


def first_bad(findings: Sequence[Finding]) -> Finding | None:
    """The first that does not hold: maps come in the order of the forward pass, gradients in that of the backward."""
    return next((f for f in findings if not f.holds), None)
