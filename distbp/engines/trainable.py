"""What is settled when an engine sees its first part: which parameters have gradients, and which buffers move.

Some parameters may be frozen later; none join, and no more buffers move.
"""

from collections.abc import Iterable

from distbp.errors import RequestError


def refuse_moved(names: Iterable[str]) -> None:
    """RequestError for a buffer that a training pass begins to change only now: nobody sums its changes."""
    for name in names:
        allowed = (
            "a buffer that training changes has to change in the first part, too: begin with the module in the mode in "
            "which it is trained, or make the engine anew"
        )
        raise RequestError("buffer", name, allowed)


def refuse_written(names: Iterable[str]) -> None:
    """RequestError for a parameter that the module's forward pass changes (an embedding with ``max_norm``, say)."""
    for name in names:
        allowed = "forward must not change a parameter: each worker would, by its own samples alone"
        raise RequestError("module", name, allowed)


def refuse_joined(names: Iterable[str]) -> None:
    """RequestError for a parameter that was frozen at first and is trainable now: its gradient has no place."""
    for name in names:
        allowed = (
            "it was frozen when the engine saw its first part, and its gradient has no place; make the engine anew"
        )
        raise RequestError("requires_grad", name, allowed)
