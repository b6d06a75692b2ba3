"""Which map takes a call, and what is said when none does."""

import torch

from distbp.errors import RequestError
from distbp.maps import registry
from distbp.maps.base import Map
from distbp.maps.tape import Tape
from distbp.program.graph import Call


def rule_of(call: Call, *, fallback: bool) -> type[Map] | Map:
    """The map of ``call``: the one in the table, or with ``fallback`` torch's tape.

    Raises RequestError, naming the op, the module and the ways out, if there is none.
    """
    rule = registry.find(str(call.op), call.inputs, call.attributes)
    if rule is not None:
        return rule
    if fallback and not draws(call):
        return Tape(call.op, call.names)
    raise _no_rule(call, fallback=fallback)


def draws(call: Call) -> bool:
    """Whether the op draws random numbers, as torch says, or its map does."""
    rule = registry.find(str(call.op), call.inputs, call.attributes)
    return torch.Tag.nondeterministic_seeded in call.op.tags if rule is None else rule.random


def _no_rule(call: Call, *, fallback: bool) -> RequestError:
    op = str(call.op)
    here = registry.home(op) if call.op.namespace == "aten" else f'distbp.register_map("{op}")'
    tape = "" if fallback or draws(call) else "engine.fallback=autograd differentiates this op with torch, "
    kind = "no map for these arguments" if registry.known(op) else "no map"
    allowed = (
        f"{op} in {call.where} has {kind} (its place is {here}); "
        f"{tape}engine=autograd runs the whole module on torch's tape"
    )
    return RequestError("engine", "manual", allowed)
