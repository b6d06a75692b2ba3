"""A program: the generated forward and backward pass of one model for one shape, ready to run."""

import itertools
import linecache
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from torch import Generator, Tensor, nn

from distbp.precision import FP32, Precision
from distbp.program.arena import Arena
from distbp.program.export import MODULES
from distbp.program.fuse import fused
from distbp.program.graph import Graph, Value
from distbp.program.join import join
from distbp.program.lower import lower
from distbp.program.places import Places, places
from distbp.program.schedule import schedule
from distbp.program.simplify import simplified
from distbp.program.source import Source
from distbp.program.trace import Like, Trace, contiguous, like
from distbp.program.walk import Walk

_NUMBERS = itertools.count(1)
KEPT = 8  # pairs of passes that are bound to tensors: one for each slot of a reducer, and some more


@dataclass(frozen=True)
class Passes:
    """One way of doing a program: for tensors that lie in memory in one way, writing gradients or adding to them."""

    trace: Trace
    plan: Places
    source: str
    make: Callable[..., tuple[Callable[..., None], Callable[..., Any]]]
    joined: frozenset[str] = frozenset()  # gradients that are added to their places as they are formed


@dataclass(frozen=True)
class Ran:
    """What both passes give besides the gradients that they write."""

    loss_sum: Tensor
    count: int | Tensor
    output: Any  # of the module
    state: tuple[Tensor, ...]  # that it carries on
    changes: Mapping[str, Tensor]  # of buffers
    rows: Sequence[tuple[str, tuple[Tensor, Tensor]]]  # of each look-up in a table: row numbers (M), gradients (M, D)


class Delivery(Enum):
    """What becomes of a gradient: it is written, added as it is formed, or added once and whole."""

    WRITTEN = "written"
    ADDED = "added"
    JOINED = "joined"


class Program:
    """``emissions`` are the trainable parameters in the order in which their gradients complete.

    The parameters and buffers are read from the module at every run; the program holds constants, and lies in an
    ``arena`` that other programs may use between its runs.
    """

    def __init__(
        self, graph: Graph, *, fallback: bool = False, tables: Iterable[str] = (), arena: Arena | None = None
    ) -> None:
        self.graph = graph
        self.plan = schedule(graph, fallback=fallback, tables=tables)
        self.emissions = self.plan.emissions
        self.spec = graph.spec
        self.moving = tuple(graph.slots[value].name for value in graph.moved)
        self._single = (
            len(graph.outputs) == 1 and graph.spec.num_leaves == 3 and graph.spec.unflatten([0, 1, 2])[2] == 2
        )
        self._device = next((c.device for c in graph.constants.values()), torch.device("cpu"))
        self._ways: dict[Any, Passes] = {}
        self._bound: OrderedDict[Any, Any] = OrderedDict()
        self.arena = Arena() if arena is None else arena
        self.arena.admit(self)
        self._slots = [*graph.slots.values()]
        self._places = [slot.name for v, slot in graph.slots.items() if slot.trainable and v not in self.plan.tables]
        self._seed = torch.ones((), dtype=graph.loss_sum.dtype)
        self.draws = any(rule.random for rule in (*self.plan.rules.values(), *self.plan.drawn.values()))

    @property
    def tables(self) -> tuple[str, ...]:
        """The parameters whose gradients are rows."""
        return tuple(slot.name for value, slot in self.graph.slots.items() if value in self.plan.tables)

    @property
    def source(self) -> str:
        """The Python that runs where all tensors are contiguous, as those of a part and of flat buffers are."""
        return self.passes(self.contiguous(), Delivery.WRITTEN).source

    def run(
        self,
        inputs: Sequence[Any],
        gradients: Mapping[str, Tensor],
        generator: Generator,
        *,
        add: bool = False,
        apart: dict[str, Tensor] | None = None,
        complete: Callable[[str], None],
        scale: float = 1.0,
    ) -> Ran:
        """Both passes. ``gradients`` are written, or with ``add`` added to: each parameter's, times ``scale``.

        With ``apart`` they are added to, too, each once and whole: what cannot be added so while it is formed is formed
        in this memory, by name, which is made where there is none yet.
        """
        with MODULES:
            states = [slot.read() for slot in self._slots]
        places = [gradients[name] for name in self._places]
        how = Delivery.JOINED if apart is not None else Delivery.ADDED if add else Delivery.WRITTEN
        key = how, torch.get_num_threads(), *map(_lies, states), *map(_lies, places), *map(_strides, inputs)
        found = self._bound.get(key)
        if found is None:
            found = self._bind(key, inputs, states, gradients, apart)
        forward, backward, names, tables, late = found
        if late:
            complete = _added_before(late, complete)
        forward(inputs, generator)
        self._seed.fill_(scale)
        loss_sum, count, outputs, moved, rows = backward(self._seed, complete)
        changes = dict(zip(names, moved, strict=True))
        output, state = self._output(loss_sum, count, outputs), outputs[len(self.graph.outputs) :]
        return Ran(loss_sum, count, output, state, changes, [*zip(tables, rows, strict=True)] if tables else [])

    def _output(self, loss_sum: Tensor, count: Any, leaves: Sequence[Any]) -> Any:
        """What the module returned."""
        if not self.graph.outputs:
            return None
        return leaves[0] if self._single else self.spec.unflatten([loss_sum, count, *leaves])[2]

    def passes(self, likes: Mapping[Value, Like], how: Delivery) -> Passes:
        """The two passes for tensors that lie as ``likes`` says, traced once."""
        key = how, torch.get_num_threads(), tuple(likes.values())  # what joins depends on how a product is divided
        if key not in self._ways:
            self._ways[key] = self._traced(likes, how)
        return self._ways[key]

    def _traced(self, likes: Mapping[Value, Like], how: Delivery) -> Passes:
        with MODULES:  # tracing sets torch's modes aside, those of an export in another thread, too
            trace = simplified(Walk(self.graph, self.plan, likes, add=how is Delivery.ADDED).trace())
            joined = join(trace) if how is Delivery.JOINED else frozenset()
        return replace(self.written(trace, places(trace)), joined=joined)

    def written(self, trace: Trace, plan: Places) -> Passes:
        """The two passes of a trace whose results lie as ``plan`` says."""
        rules = {**self.plan.drawn, **self.plan.rules}
        source = Source(self.graph, trace, plan, rules)
        text = source.text()
        return Passes(trace, plan, text, compiled(text, self.graph.title, source.vocabulary.given)["passes"])

    def _bind(
        self,
        key: Any,
        inputs: Sequence[Any],
        states: list[Tensor],
        gradients: Mapping[str, Tensor],
        apart: dict[str, Tensor] | None,
    ) -> Any:
        """The two functions for these tensors, and the gradients that they form apart from their places."""
        device = states[0].device if states else torch.device("cpu")
        likes = self.contiguous(device)
        for value, tensor in zip((*self.graph.inputs, *self.graph.slots), (*inputs, *states), strict=True):
            if isinstance(tensor, Tensor) and tuple(tensor.shape) == value.shape:
                likes[value] = like(tensor)
        passes = self.passes(likes, key[0])
        self._seed = self._seed.to(device)
        memory = self.arena.room(passes.plan.size, device)
        late = {} if apart is None else _late(self._places, passes.joined, gradients, apart)
        formed = [late[name][1] if name in late else gradients[name] for name in self._places]
        constants = [*passes.trace.constants.values()]
        forward, backward = passes.make(memory, [t.detach() for t in states], formed, constants)
        *_, moved, rows = passes.trace.returned
        self._bound[key] = forward, backward, [*moved], [name for name, *_ in rows], late
        if len(self._bound) > KEPT:
            self._bound.popitem(last=False)
        return self._bound[key]

    def unbind(self) -> None:
        """Let go of the memory in the arena: the next run is bound to what there is then."""
        self._bound.clear()

    def contiguous(self, device: torch.device | None = None) -> dict[Value, Like]:
        """How everything that the program is given lies, where it is contiguous."""
        graph, device = self.graph, device or self._device
        values = (*graph.inputs, *graph.slots)
        likes = {v: (v.shape, contiguous(v.shape), v.dtype, device) for v in values}
        return likes | {v: like(c) for v, c in graph.constants.items()}


def build(
    module: nn.Module,
    loss: Callable[[Any, Any], Any],
    inputs: tuple[Tensor, ...],
    target: Any,
    *,
    state: tuple[Tensor, ...] = (),
    fallback: bool = False,
    outputs: bool = True,
    tables: Iterable[str] = (),
    precision: Precision = FP32,
    arena: Arena | None = None,
) -> Program:
    """The program of ``loss(module(*inputs), target)`` for inputs of these shapes, and a ``state`` of these.

    With ``fallback`` an op that has no map is differentiated by torch's tape. Without ``outputs`` the module's output
    is not returned, and need never exist as a whole. The gradients of ``tables`` are returned as rows.
    ``precision`` says which operands are cast. Programs that run in turn may share an ``arena``.

    Raises RequestError for a model or an op that no program can hold.
    """
    graph = lower(module, loss, inputs, target, state, precision=precision)
    return Program(graph if outputs else fused(graph), fallback=fallback, tables=tables, arena=arena)


def _late(
    names: Iterable[str], joined: frozenset[str], gradients: Mapping[str, Tensor], apart: dict[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """The gradients that are added when they are whole: where to, and where they are formed."""
    late = [name for name in names if name not in joined]
    for name in late:
        if name not in apart or like(apart[name]) != like(gradients[name]):
            apart[name] = torch.empty_like(gradients[name])
    return {name: (gradients[name], apart[name]) for name in late}


def _added_before(late: Mapping[str, tuple[Tensor, Tensor]], complete: Callable[[str], None]) -> Callable[[str], None]:
    def added(name: str) -> None:
        if name in late:
            gradient, formed = late[name]
            gradient.add_(formed)
        complete(name)

    return added


def _lies(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tensor.stride()


def _strides(leaf: Any) -> Any:
    return leaf.stride() if isinstance(leaf, Tensor) else leaf


def compiled(source: str, title: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The functions that ``source`` defines. Tracebacks and debuggers show its lines."""
    filename = f"<distbp {title} {next(_NUMBERS)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    functions = dict(given)
    exec(compile(source, filename, "exec"), functions)
    return functions
