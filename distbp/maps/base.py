"""A map: one mathematical mapping, its forward pass and its vector-Jacobian product side by side."""

from collections.abc import Callable
from typing import Any, ClassVar


class Map:
    """``y = f(x_1, x_2, ...)`` and ``d_i = J_i^T d_y``, as two static functions that keep nothing between calls.

    ``forward(*inputs, **attributes)`` returns ``(output, saved)``: inputs are the op's tensors in order (None for one
    that is absent), attributes its other arguments by name, ``saved`` whatever the VJP will read.
    ``vjp(saved, d_output, into)`` returns the gradient of each input. ``into`` has one destination for each input; they
    are filled from left to right, once each. Where an op has several outputs, ``output`` and ``d_output`` are tuples,
    and the cotangent of an output that the loss does not read is None.

    The docstring's first line is the equation, three spaces, the shapes; its second line is the VJP.
    """

    forward: ClassVar[Callable[..., tuple[Any, Any]]]
    vjp: ClassVar[Callable[..., tuple[Any, ...]]]

    random: ClassVar[bool] = False
    """Whether forward draws: it is then given ``generator``, the random numbers of the part."""

    owned: ClassVar[bool] = False
    """Whether every gradient that vjp forms for FRESH is a new tensor, neither d_output itself nor a view of anything:
    a second use of the same value may then add to it in place."""


def equation(rule: type[Map] | Map) -> str:
    """``y = f(x)``: the first line of the docstring without the shapes."""
    return _line(rule, 0).split("   ")[0].rstrip(".")


def vjp_equation(rule: type[Map] | Map) -> str:
    """``dx = J^T dy``: the second line of the docstring."""
    return _line(rule, 1)


def _line(rule: type[Map] | Map, number: int) -> str:
    lines = [line.strip() for line in (rule.__doc__ or "").strip().splitlines()]
    return lines[number] if number < len(lines) else ""
