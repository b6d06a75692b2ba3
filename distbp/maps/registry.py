"""Which map belongs to which op: the table that a program is lowered with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch._ops import OpOverload

from distbp.errors import RequestError, nearest
from distbp.maps.base import Map

When = Callable[[Sequence[Any], Mapping[str, Any]], bool]
"""``when(inputs, attributes)``: inputs have a shape and a dtype, or are None; attributes hold every argument."""

Rule = TypeVar("Rule", bound=type[Map])


class Entry(NamedTuple):
    """A map, and the calls of its op that it takes."""

    rule: type[Map]
    when: When


_TABLE: dict[str, list[Entry]] = {}


def _always(_inputs: Sequence[Any], _attributes: Mapping[str, Any]) -> bool:
    return True


def register_map(op: str | OpOverload, *, when: When = _always) -> Callable[[Rule], Rule]:
    """Declare the decorated Map the rule of ``op``: ``torch.ops.aten.relu.default`` or its name,
    ``"aten.relu.default"``, or a custom op's, ``"library::name"``.

    Of several maps for one op, the one declared last whose ``when`` holds is taken, so a user's map replaces ours.
    Raises RequestError for a class that is no Map or lacks its two functions, and for an op that torch does not have.
    """
    name = full_name(str(op))
    if name.startswith(("aten.", "torch.")) and not _is_of_torch(name):
        raise RequestError("register_map", op, "torch has no such op", nearest=nearest(name, _TABLE))
    if name.count(".") != 2:
        raise RequestError("register_map", op, "namespace.name.overload, aten.relu.default say, or library::name")
    if not callable(when):
        raise RequestError(f"register_map({name!r}), when", when, "a function of the inputs and attributes of a call")

    def declare(rule: Rule) -> Rule:
        if not (issubclass(rule, Map) and "forward" in vars(rule) and "vjp" in vars(rule)):
            allowed = "a subclass of distbp.Map with static functions forward and vjp"
            raise RequestError(f"register_map({name!r})", rule.__name__, allowed)
        _TABLE.setdefault(name, []).append(Entry(rule, when))
        return rule

    return declare


def _is_of_torch(name: str) -> bool:
    namespace, packet, overload = name.split(".") if name.count(".") == 2 else ("", "", "")
    return namespace == "aten" and hasattr(getattr(torch.ops.aten, packet, None), overload)


def find(op: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> type[Map] | None:
    """The map for this call of ``op`` (its full name), or None."""
    for entry in reversed(_TABLE.get(op, ())):
        if entry.when(inputs, attributes):
            return entry.rule
    return None


def known(op: str) -> bool:
    """Whether some calls of ``op`` have a map."""
    return op in _TABLE


def table() -> list[tuple[str, type[Map]]]:
    """Every (op, map), in the order of declaration."""
    return [(op, entry.rule) for op, entries in _TABLE.items() for entry in entries]


def full_name(op: str) -> str:
    """``namespace.name.overload`` of an op written as torch prints it or as torch.library.custom_op is given it."""
    parts = op.replace("::", ".").split(".")
    return ".".join(parts if len(parts) == 3 else [*parts, "default"])


FAMILIES = {
    "einsum": ("einsum", "tensordot", "multi_dot", "chain_matmul", "kron"),
    "conv": ("conv",),
    "window": ("im2col", "col2im", "unpool"),
    "adaptive_pool": ("adaptive",),
    "pool": ("pool",),
    "resize": ("interpolate", "upsample"),
    "grid": ("grid_sample", "grid_generator"),
    "batch_norm": ("batch_norm",),
    "weight_norm": ("weight_norm",),
    "norm": ("norm",),
    "recurrent": ("lstm", "gru", "rnn"),
    "attention": ("attention",),
    "embedding": ("embedding",),
    "cross_entropy": ("cross_entropy_loss", "nll_loss_nd"),
    "margin": ("margin", "hinge"),
    "loss": ("loss", "cross_entropy", "kl_div"),
    "distance": ("dist", "cosine"),
    "softmax": ("softmax", "logsumexp"),
    "scattered": ("scatter_reduce", "index_reduce"),
    "index": ("index", "gather", "scatter"),
    "pad": ("pad",),
    "activation": ("relu", "elu", "glu", "softplus"),
    "reduce": ("sum", "mean", "max", "min", "prod", "var", "std", "amax", "amin"),
    "shape": (
        "view",
        "reshape",
        "transpose",
        "permute",
        "cat",
        "stack",
        "slice",
        "select",
        "squeeze",
        "split",
        "chunk",
    ),
    "dropout": ("dropout",),
    "noise": ("rand", "bernoulli", "normal", "uniform", "multinomial", "exponential"),
    "linear": ("linear",),
    "added": ("addmm", "addmv", "addr", "addbmm"),
    "product": ("mm", "matmul", "dot", "mv", "outer", "cross"),
}


def home(op: str) -> str:
    """The file where the map of an ATen op has its place."""
    name = op.split(".")[1]
    families = (family for family, words in FAMILIES.items() if any(word in name for word in words))
    return f"distbp/maps/{next(families, 'arithmetic')}.py"
