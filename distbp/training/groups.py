"""Groups of parameters that one optimizer treats otherwise: without weight decay, or at a rate of their own."""

from collections.abc import Hashable, Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from torch import Tensor

from distbp.errors import RequestError

Decayed = Literal["all", "matrices"]
NO_RATES: Mapping[str, float] = MappingProxyType({})


class Group(NamedTuple):
    """Parameters that weight decay shrinks or does not, at ``rate`` times the learning rate."""

    decayed: bool = True
    rate: float = 1.0

    @property
    def options(self) -> dict[str, Any]:
        """What is said of them in a group of an optimizer."""
        return {"rate": self.rate} if self.decayed else {"rate": self.rate, "weight_decay": 0.0}


class Groups:
    """``decay``: whether weight decay shrinks all parameters, or matrices (those of two dimensions and more), and
    neither biases nor the weights of norms; ``rates``: factors of the learning rate by pattern of parameter names
    (``embed.*``), of which the first that fits counts.
    """

    def __init__(self, decay: Decayed = "all", rates: Mapping[str, float] = NO_RATES) -> None:
        self.decay = decay
        self.rates = rates

    def of(self, name: str, parameter: Tensor) -> Group:
        """The group of a parameter."""
        first = self._first(name)
        rate = 1.0 if first is None else self.rates[first]
        return Group(self.decay == "all" or parameter.dim() > 1, rate)

    def refuse_idle(self, names: Iterable[str]) -> None:
        """RequestError for a pattern that is the first to fit none of the parameters."""
        names = list(names)
        counts = {self._first(name) for name in names}
        for pattern in self.rates:
            if pattern in counts:
                continue
            fit = next((name for name in names if fnmatchcase(name, pattern)), None)
            if fit is None:
                allowed = f"a pattern that fits the name of a parameter is allowed, as {names[0]}"
            else:
                earlier = self._first(fit)
                allowed = f"of the patterns that fit a parameter the first counts, and {earlier} stands before it"
            raise RequestError("groups.rates", pattern, allowed)

    def _first(self, name: str) -> str | None:
        """The pattern that counts for a parameter."""
        return next((pattern for pattern in self.rates if fnmatchcase(name, pattern)), None)


def grouped(members: Iterable[tuple[Hashable, Tensor]]) -> list[dict[str, Any]]:
    """An optimizer's groups: the tensors of each ``Group``."""
    together: dict[Group, list[Tensor]] = {}
    for group, tensor in members:
        assert isinstance(group, Group)
        together.setdefault(group, []).append(tensor)
    return [{"params": tensors, **group.options} for group, tensors in together.items()]
