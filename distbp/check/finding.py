"""What a check found: how far something is from a law."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Finding:
    """One error against what the law allows. ``layer`` is where a reader has to look."""

    layer: str
    what: str  # the op, or the parameter
    law: str
    error: float
    bound: float
    cause: str = ""  # why there is no error to tell, where that is infinite

    @property
    def holds(self) -> bool:
        """Whether the law holds; it never does for what is not a number."""
        return self.error <= self.bound

    def __str__(self) -> str:
        allowed = f"{self.bound:.0e}" if self.bound else "0"
        because = f": {self.cause}" if self.cause else ""
        return f"{self.layer}: {self.what}, {self.law} {self.error:.1e} ({allowed} is allowed){because}"


def layer_of(name: str, module: nn.Module) -> str:
    """The module that holds a parameter or a buffer, for people: ``fc1 (Linear)``."""
    path = name.rpartition(".")[0]
    kind = type(module.get_submodule(path)).__name__
    return f"{path} ({kind})" if path else kind
