"""What an engine is: it turns one part of a batch into that part's gradients."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from distbp.data.part import Part, State
from distbp.engines.tables import sparse_tables
from distbp.precision import FP32, Precision
from distbp.rows import Rows

Loss = Callable[[Any, Any], "tuple[Tensor, int | Tensor] | Tensor"]
"""``loss(output, target)``: the sum over the examples and their count, or a mean over the examples."""

Metrics = Callable[[Any, Any], Mapping[str, Tensor]]
"""``metrics(output, target)``: sums over the examples, by name; each is later divided by the count of examples."""


Begin = Callable[[int], State]
"""``begin(n)``: the state of n samples before their first segment."""


def stateless(_samples: int) -> State:
    """The state of a module that carries none."""
    return ()


@dataclass
class Destination:
    """Where the gradients of one part go: for each parameter, by name, a tensor of its shape and strides.

    The first write within a part overwrites (no zeroing); with ``add`` every write adds, as the later micro-batches of
    a part do; with ``join``, too, the part's whole gradient is added, with the bits of one that was formed elsewhere.
    An engine calls ``complete(name)`` when no write to that gradient will follow.
    """

    gradients: Mapping[str, Tensor]
    add: bool = False
    join: bool = False
    complete: Callable[[str], None] = lambda _name: None


@dataclass
class Outcome:
    """What one part gave besides its gradients."""

    loss_sum: Tensor  # () the sum of the loss over the part's examples
    count: int | Tensor  # what the sum is later divided by, summed over all parts
    metric_sums: Mapping[str, Tensor] = field(default_factory=dict)
    buffer_deltas: Mapping[str, Tensor] = field(default_factory=dict)  # new - old of each float buffer that moved
    state: State = ()  # carried from a part of one step to the same part of the next, no gradient with it
    rows: Mapping[str, Rows] = field(default_factory=dict)  # gradients of sparse tables, where any row was looked up


class Engine(ABC):
    """The local backward pass of one worker: part by part, each part into its own destination.

    The module's parameters are read where they are at the call. Between parts an engine keeps nothing but programs and
    memory that it may use again. Both engines leave the module's float buffers as they were, and report the change.
    The gradients of ``tables``, parameters by name, have no destination: they are rows of the Outcome.

    A module that carries a state from one segment of its samples to the next takes it as further inputs and returns
    ``(output, state)``: truncated back-propagation, since no gradient flows back through what was carried.
    """

    name: str

    moving: Sequence[str] | None = None
    """The buffers that a training pass changes (running statistics), once ``prepare`` has found out; until then None,
    and any may. Whoever knows better may set it."""

    emissions: tuple[str, ...] = ()
    """The names of the trainable parameters, but tables, in the order in which their gradients complete: known once
    ``prepare`` has seen an example. Whoever sets it has them complete in that order."""

    def __init__(
        self, module: nn.Module, loss: Loss, *, metrics: Metrics | None = None, precision: Precision = FP32
    ) -> None:
        self.module = module
        self.loss = loss
        self.metrics = metrics
        self.precision = precision
        self.tables = sparse_tables(module)

    scale: float = 1.0
    """What the backward pass begins with: every gradient is that many times its own."""

    @property
    def source(self) -> str:
        """The Python source of the passes, known after ``prepare``; empty for an engine that writes none."""
        return ""

    @abstractmethod
    def prepare(self, example: Part, state: State = ()) -> None:
        """Make ready for parts and states of this shape. Only shapes and dtypes of the example count."""

    @abstractmethod
    def gradients(self, part: Part, destination: Destination, state: State = ()) -> Outcome:
        """The sum over the part's examples of each gradient, into ``destination``. An empty part writes zeros.

        ``state`` is what the same part of the step before has left, or what its samples begin with.
        """
