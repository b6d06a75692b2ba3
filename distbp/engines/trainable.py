"""Which parameters have gradients: settled when an engine sees its first part. Some may be frozen later; none join."""

from collections.abc import Iterable

from distbp.errors import RequestError


def refuse_joined(names: Iterable[str]) -> None:
    """RequestError for a parameter that was frozen at first and is trainable now: its gradient has no place."""
    for name in names:
        allowed = (
            "it was frozen when the engine saw its first part, and its gradient has no place; make the engine anew"
        )
        raise RequestError("requires_grad", name, allowed)
