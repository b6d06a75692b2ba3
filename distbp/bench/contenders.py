"""What is compared: ways to do one training step (forward, backward, fused optimizer) of the same case."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from distbp.bench.models.case import Case
from distbp.data.part import Part
from distbp.engines.base import Destination, Engine, Loss
from distbp.engines.manual import ManualEngine
from distbp.precision import FP32, Precision
from distbp.reduction.layout import Layout, adopt, plan
from distbp.training import optimizers

LR = 1e-5  # thousands of steps on one batch: a larger rate would learn it by heart, and tiny numbers are slow
BUCKET_BYTES = 25 * 2**20
OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "sgd": optimizers.sgd,
    "adamw": optimizers.adamw,
    "plain": partial(optimizers.sgd, momentum=0.0),
}


class Contender(ABC):
    """One way to train a case. What it makes ready, it makes in its constructor or in its first steps."""

    parameters: Sequence[Tensor]  # as the optimizer has them
    optimizer: Optimizer

    def __init__(self, case: Case) -> None:
        self.case = case

    @abstractmethod
    def step(self) -> None:
        """One step on the case's batch."""

    def held(self) -> Iterator[Tensor]:
        """What any step finds and leaves: parameters, gradients, the optimizer's state, buffers, the batch."""
        yield from self.parameters
        yield from (parameter.grad for parameter in self.parameters if parameter.grad is not None)
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))
        yield from (*self.case.module.buffers(), *self.case.inputs, self.case.target)


class Manual(Contender):
    """The manual engine as the trainer runs it on one worker: flat parameters, flat gradients, one update of each.

    ``engine`` takes another engine there.
    """

    def __init__(self, case: Case, *, engine: type[Engine] = ManualEngine, precision: Precision = FP32) -> None:
        super().__init__(case)
        self.engine = engine(case.module, case.loss, precision=precision)
        self.part = Part(0, case.inputs, case.target, draws=0)
        self.engine.prepare(self.part)
        parameters = dict(case.module.named_parameters())
        emitted = [(name, parameters[name]) for name in self.engine.emissions]
        layouts = plan(emitted, bucket_bytes=BUCKET_BYTES, size=1)
        self.parameters = [flattened(layout, parameters) for layout in layouts]
        gradients: dict[str, Tensor] = {}
        for layout, flat in zip(layouts, self.parameters, strict=True):
            assert flat.grad is not None
            gradients |= layout.views(flat.grad)
        self.destination = Destination(gradients)
        self.optimizer = OPTIMIZERS[case.optimizer](self.parameters, lr=LR)
        self.buffers = dict(case.module.named_buffers())

    def step(self) -> None:
        """The gradients of the one part, the changes of the buffers, and the update."""
        outcome = self.engine.gradients(self.part, self.destination)
        self._move(outcome.buffer_deltas)
        optimizers.update(self.optimizer, lr=LR, count=float(outcome.count))

    def _move(self, deltas: Mapping[str, Tensor]) -> None:
        for name, delta in deltas.items():
            self.buffers[name].add_(delta)


class Autograd(Contender):
    """The loop that people write: the mean loss, ``backward()``, a fused optimizer over the parameters.

    With ``keep`` the gradients are zeroed in place instead of given back: those that travel between workers stay where
    they are, and memory is compared as if they did.
    """

    def __init__(self, case: Case, *, keep: bool = False, precision: Precision = FP32) -> None:
        super().__init__(case)
        self.precision = precision
        self.whole: nn.Module = MeanLoss(case.module, case.loss)
        self.keep = keep
        self.parameters = list(case.module.parameters())
        if keep:
            for parameter in self.parameters:
                parameter.grad = torch.zeros_like(parameter)
        self.optimizer = OPTIMIZERS[case.optimizer](self.parameters, lr=LR)

    def step(self) -> None:
        """Zero the gradients, run the tape, update."""
        self.optimizer.zero_grad(set_to_none=not self.keep)
        with self.precision.autocast(self.case.target.device):
            loss = self.whole(self.case.inputs, self.case.target)
        loss.backward()
        self.optimizer.step()


class Compiled(Autograd):
    """The same loop with module and loss under torch.compile. The first step compiles, and may fail."""

    def __init__(self, case: Case, *, precision: Precision = FP32) -> None:
        super().__init__(case, precision=precision)
        torch.compiler.reset()
        self.whole.compile()


def flattened(layout: Layout, parameters: Mapping[str, Tensor]) -> Tensor:
    """The parameters of a layout, moved into one flat tensor that has an equally flat gradient."""
    device = parameters[layout.spans[0].name].device
    flat, flat.grad = (layout.allocate(device) for _ in range(2))
    adopt(parameters, layout.views(flat))
    return flat


class MeanLoss(nn.Module):
    """A module and its loss as one: what torch.compile is given as a whole."""

    def __init__(self, module: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(self, inputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
        """The mean loss of a batch.   () float32."""
        loss = self.loss(self.module(*inputs), target)
        assert isinstance(loss, tuple), "a loss of the bench is a sum and a count"
        loss_sum, count = loss
        return loss_sum / count
