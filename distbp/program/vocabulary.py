"""What a program's source calls the maps, and the imports that give them those names."""

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from distbp.maps.base import Map
from distbp.maps.tape import Tape
from distbp.program.names import Names


class Vocabulary:
    """A name for each of ``rules``, none of them ``taken``. ``given`` are those that no import can reach, by name."""

    def __init__(self, rules: Iterable[type[Map] | Map], taken: Iterable[str]) -> None:
        self.given: dict[str, Any] = {}
        self._free = Names(taken)
        self._names: dict[Any, str] = {}
        self._imports: set[tuple[str, str]] = set()
        self._notes: list[str] = []
        for rule in rules:
            if rule not in self._names:
                self._names[rule] = self._taped(rule) if isinstance(rule, Tape) else self._imported(rule)

    def __getitem__(self, rule: type[Map] | Map) -> str:
        return self._names[rule]

    def lines(self) -> Iterator[str]:
        """The imports, then a line for each map that cannot be imported."""
        for module, imported in groupby(sorted(self._imports), key=itemgetter(0)):
            yield f"from {module} import {', '.join(name for _, name in imported)}"
        if self._notes:
            yield ""
            yield from self._notes

    def _taped(self, rule: Tape) -> str:
        name = self._free.new(f"taped_{rule.op.overloadpacket.__name__}")
        self._imports.add(("distbp.maps.tape", "Tape"))
        self._notes.append(f"{name} = Tape(torch.ops.{rule.op}, {rule.names!r})")
        return name

    def _imported(self, rule: Any) -> str:
        name = self._free.new(rule.__name__)
        module = rule.__module__
        if _importable(rule):
            alias = "" if name == rule.__name__ else f" as {name}"
            self._imports.add((module, f"{rule.__name__}{alias}"))
        else:
            self.given[name] = rule
            self._notes.append(f"# {name} is the map {rule.__qualname__} that {module} registered")
        return name


def _importable(rule: Any) -> bool:
    found = getattr(sys.modules.get(rule.__module__), rule.__qualname__, None)
    return found is rule and rule.__module__ != "__main__"
