"""A map: one mathematical mapping, its forward pass and its vector-Jacobian product side by side."""

from collections.abc import Callable
from typing import Any, ClassVar


class Map:
    """``y = f(x_1, x_2, ...)`` and ``d_i = J_i^T d_y``, as two static functions that keep nothing between calls.

    ``forward(*inputs, **attributes)`` returns ``(output, saved)``: inputs are the op's tensors in order (None for one
    that is absent, a tuple for a list of them), attributes by name those of its other arguments that differ from the
    op's defaults, ``saved`` whatever the VJP will read. ``vjp(saved, d_output)`` returns the gradient of each input,
    None for one that has none. Where an op has several outputs, ``output`` and ``d_output`` are tuples, and the
    cotangent of an output that the loss does not read is None.

    Both are plain mathematics on torch's tensors. They are run once, on tensors without numbers, to see what they
    compute; the program then does just that, leaves out the gradients that nobody wants, and decides where every result
    lies. So they may look at shapes, not at values, and change no tensor that they did not make.

    The docstring's first line is the equation, three spaces, the shapes; its second line is the VJP.
    """

    forward: ClassVar[Callable[..., tuple[Any, Any]]]
    vjp: ClassVar[Callable[..., tuple[Any, ...]]]

    random: ClassVar[bool] = False
    """Whether forward draws: it is then given ``generator``, the random numbers of the part."""

    opaque: ClassVar[bool] = False
    """Whether the two functions must be called as they stand, because they look at values or leave torch."""


class Turn(Map):
    """A map that can form its output and its gradients at once, because what lies between is too large to keep.

    ``turn(d_output, *inputs, **attributes)`` returns ``(output, d_inputs)``. It stands where the forward pass turns
    into the backward pass: nothing that comes between may need the output.
    """

    turn: ClassVar[Callable[..., tuple[Any, tuple[Any, ...]]]]


class Lookup(Map):
    """A map whose first input is a table of which it reads rows by number: all other rows' gradients are zero.

    ``vjp_rows(saved, d_output)`` is ``vjp`` with ``(numbers, rows)``, (M) and (M, D), in the place of the table's
    gradient, which is the sum of each row at its number; -1 is no number.
    """

    vjp_rows: ClassVar[Callable[..., tuple[Any, ...]]]


def equation(rule: type[Map] | Map) -> str:
    """``y = f(x)``: the first line of the docstring without the shapes."""
    return _line(rule, 0).split("   ")[0].rstrip(".")


def vjp_equation(rule: type[Map] | Map) -> str:
    """``dx = J^T dy``: the second line of the docstring."""
    return _line(rule, 1)


def _line(rule: type[Map] | Map, number: int) -> str:
    lines = [line.strip() for line in (rule.__doc__ or "").strip().splitlines()]
    return lines[number] if number < len(lines) else ""
