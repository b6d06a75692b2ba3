"""Names for the values of a program: short, unlike each other, and telling where in the model a value belongs."""

import builtins
import keyword
import re
from collections.abc import Iterable

WORDS = (
    *("inputs", "generator", "d_loss", "complete", "forward", "backward", "passes", "lies"),
    *("torch", "Tape", "arena", "states", "gradients", "constants"),
)


class Names:
    """Gives each name once. One that is Python's, the source's own, or ``taken`` gets a number."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *WORDS, *taken}

    def new(self, wish: str) -> str:
        """``wish`` as an identifier, or ``wish_2``, ``wish_3`` ... if it is taken."""
        stem = re.sub(r"\W", "_", wish) or "value"
        stem = f"layer_{stem}" if stem[0].isdigit() else stem
        name, number = stem, 1
        while name in self._taken or f"d_{name}" in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken |= {name, f"d_{name}", f"saved_{name}"}
        return name


def of_module(path: str, kind: str) -> str:
    """``fc1`` for a module at "fc1"; ``relu_2`` for a ReLU at "2"; ``body_gelu_1`` for a GELU at "body.1"."""
    *rooms, last = path.split(".")
    return "_".join([*rooms, f"{kind.lower()}_{last}" if last.isdigit() else last])


def of_op(op: str) -> str:
    """``cross_entropy`` for "aten.cross_entropy_loss.default"."""
    name = op.split(".")[1].strip("_")
    return {"cross_entropy_loss": "cross_entropy", "mse_loss": "squared_error"}.get(name, name)
