"""How a piece of a program is written in Python."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from distbp.program.graph import Call, Value

WIDTH = 110


def statement(left: str, callee: str, arguments: Sequence[str]) -> Iterator[str]:
    """``left = callee(arguments)``, indented as in a function, over as many lines as it needs."""
    return _wrapped(f"{left}{callee}(", arguments, ")")


def unpack(names: Sequence[str], source: str) -> Iterator[str]:
    """``a, b, c = source``, or nothing."""
    line = f"    {', '.join(names)} = {source}"
    if len(names) > 1 and len(line) <= WIDTH:
        return iter([line])
    return _wrapped("(", [*names, ""] if len(names) == 1 else names, f") = {source}") if names else iter(())


def joined(items: Sequence[str]) -> str:
    """A tuple's display."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _wrapped(before: str, items: Sequence[str], after: str) -> Iterator[str]:
    line = f"    {before}{', '.join(items).rstrip(' ')}{after}"
    if len(line) <= WIDTH:
        yield line
        return
    yield f"    {before}"
    yield from (f"        {item}," for item in items if item)
    yield f"    {after}"


def literal(item: Any) -> str:
    """A value's name, or a constant as Python and torch write it."""
    if isinstance(item, tuple):
        return joined([literal(i) for i in item])
    if isinstance(item, list):
        return f"[{', '.join(literal(i) for i in item)}]"
    if isinstance(item, torch.device):
        return f"torch.device({str(item)!r})"
    if isinstance(item, float):
        return repr(item) if item - item == 0 else f'float("{item}")'
    named = isinstance(item, Value | torch.dtype | torch.layout | torch.memory_format)
    return str(item) if named else repr(item)


def shapes(call: Call) -> str:
    """``(32, 784) (128, 784) (128) -> (32, 128)``."""
    before, after = " ".join(map(shape, call.values())), " ".join(shape(v) for v in call.outputs if v is not None)
    return f"{before} -> {after}"


def shape(value: Value) -> str:
    """``(32, 784)``."""
    return f"({', '.join(map(str, value.shape))})"


def typed(value: Value) -> str:
    """``float32 (32, 784)``."""
    return f"{str(value.dtype).removeprefix('torch.')} {shape(value)}"
