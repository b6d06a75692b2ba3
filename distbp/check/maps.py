"""Every map of a program, held to the law on the numbers that the workload gives it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from distbp.check.convention import conventional
from distbp.check.finding import Finding
from distbp.check.interpreter import Interpreter, apply, is_own
from distbp.maps import check
from distbp.maps.base import Map, Turn
from distbp.program.graph import Call

TRANSPOSE = "transpose"
TAPE = "tape"
TURN = "turn"
OPERANDS = "operands"
LAWS = {
    TRANSPOSE: "<dy, J v> against <J^T dy, v>, J v by central differences",
    TAPE: "output and gradients against torch's own op and its tape",
    TURN: "what is formed at the turn against what is formed in two passes",
    OPERANDS: "operands of others that a map changes",
}


def findings(twin: Interpreter, leaves: Sequence[Any], generator: torch.Generator) -> Iterator[Finding]:
    """What holds of each call that is differentiated, in order."""
    read = {twin.graph.loss_sum, *(value for call in twin.plan.rules for value in call.values())}
    for call, inputs in twin.calls(leaves, generator):
        rule = twin.plan.rules.get(call)
        if rule is not None:
            one = check.Call(rule, [_widened(x) for x in inputs], call.told())
            yield from _of_call(call, one, [value in read for value in call.outputs])


def _of_call(call: Call, one: check.Call, read: Sequence[bool]) -> Iterator[Finding]:
    rule = one.rule
    twin = None if is_own(rule) else check.Call(Plain(call), one.inputs, {})
    with suppress(Exception):  # a VJP that fails is found to do so below
        one = replace(one, read=[r and d for r, d in zip(read, check.differentiable(one, twin), strict=True)])
    laws: list[tuple[str, Callable[[], float], float]] = [
        (OPERANDS, lambda: check.changed_operands(one), 0),
        (TAPE, lambda: check.tape_error(one, twin), 1e-9),
    ]
    if not conventional(call):
        laws.append((TRANSPOSE, lambda: check.transpose_error(one), 1e-6))
    if isinstance(rule, type) and issubclass(rule, Turn):
        laws.append((TURN, lambda: check.turn_error(one), 1e-9))
    for law, error, bound in laws:
        yield Finding(call.where, str(call.op).split(".")[1], law, *measured(error, bound))


def measured(error: Callable[[], float], bound: float) -> tuple[float, float, str]:
    """An error beside its bound; a map that fails is infinitely wrong, and its exception the cause."""
    try:
        return error(), bound, ""
    except Exception as failure:
        return float("inf"), bound, f"{type(failure).__name__}: {failure}".splitlines()[0]


class Plain(Map):
    """y = op(x_1, x_2, ...), by torch itself."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def forward(self, *inputs: Any) -> tuple[Any, None]:
        """The op's output."""
        return apply(self.call, inputs), None


def _widened(x: Any) -> Any:
    """In float64, where the law is sharp, with memory of its own."""
    if isinstance(x, tuple):
        return tuple(map(_widened, x))
    if not isinstance(x, Tensor):
        return x
    return (x.double() if x.is_floating_point() else x).clone()
