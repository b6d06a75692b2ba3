"""The plain attributes of modules, which forward may read like any number of its own: p of a dropout, eps, training."""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from torch import Tensor, nn

PLAIN = (bool, int, float, complex, str, type(None), Tensor)
OWN = vars(nn.Module()).keys() - {"training"}
"""What every module has, and forward does not read."""


class Settings:
    """Those attributes of ``modules`` that hold a number, a boolean, a string, None, a tensor, or a tuple of such, at
    first. Of a tensor counts which object it is, not what is in it.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._readers = [(vars(module), itemgetter(*_plain(module))) for module in modules]

    def now(self) -> tuple[Any, ...]:
        """What they hold now. KeyError where one has been deleted."""
        return tuple([read(attributes) for attributes, read in self._readers])


def _plain(module: nn.Module) -> list[str]:
    """The names of a module's plain attributes."""
    return [name for name, value in vars(module).items() if name not in OWN and _is_plain(value)]


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, PLAIN)
