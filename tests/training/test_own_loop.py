"""What a loop of one's own may do between its steps, and what it is told where it may not."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import distbp
from distbp.errors import JobError, RequestError

ENGINES = ["manual", "autograd"]
X, Y = torch.randn(10, 4, generator=torch.Generator().manual_seed(1)), torch.arange(10) % 3


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


class Looked(nn.Module):
    """A table of rows and a layer."""

    def __init__(self):
        super().__init__()
        self.rows, self.last = nn.Embedding(6, 4, sparse=True), nn.Linear(4, 3)

    def forward(self, numbers):
        return self.last(self.rows(numbers))


class Scaled(nn.Module):
    """A loss with a temperature that is to be learnt."""

    def __init__(self):
        super().__init__()
        self.t = nn.Parameter(torch.ones(()))

    def forward(self, output, target):
        return F.cross_entropy(output * self.t, target)


class Carrying(nn.Module):
    """A layer that carries its state."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNNCell(4, 3)

    def forward(self, x, h):
        h = self.rnn(x, h)
        return h, (h,)


def started(module, engine, loss=None, **how):
    return distbp.DataParallel(module, loss or nn.CrossEntropyLoss(), engine=engine, **how)


def gradients(module):
    return [p.grad.to_dense().clone() if p.grad.is_sparse else p.grad.clone() for p in module.parameters()]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_module_that_is_cast_and_cast_back_has_the_same_gradients(engine):
    """``module.to`` moves each ``p.grad`` as well, which must not take the buffer's memory away."""
    module = net()
    step = started(module, engine)
    step(X, Y)
    before = gradients(module)
    module.double().float()
    step(X, Y)
    assert all(map(torch.equal, gradients(module), before))
    module.double()
    with pytest.raises(
        RequestError, match=r"module=0.weight of torch.float64 on cpu: in the first step it was torch.fl"
    ):
        step(X, Y)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_that_failed_leaves_nothing_of_its_rows(engine):
    module, numbers = Looked(), torch.arange(10) % 6
    step = started(module, engine, micro_batches=2)
    step(numbers, Y)
    before = gradients(module)
    wrong = numbers.clone()
    wrong[9] = 99  # in the second micro-batch
    with pytest.raises((IndexError, RuntimeError)):
        step(wrong, Y)
    step(numbers, Y)
    assert all(map(torch.equal, gradients(module), before))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("compression", ["int8", "topk"])
def test_with_compression_a_number_that_is_none_ends_the_loop(engine, compression):
    step = started(net(), engine, compression=compression)
    step(X, Y)
    with pytest.raises(JobError, match=r"step 1 in phase compute: the loss is nan on its samples"):
        step(X * torch.nan, Y)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_state_is_carried_where_the_samples_do_not_begin(engine):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Carrying()
    step = started(module, engine, begin=lambda n: (torch.zeros(n, 3),))
    h, expected = torch.zeros(10, 3), []
    for _ in range(3):
        h, _ = module(X, h)
        expected.append(F.cross_entropy(h, Y).item())
    told = [step(X, Y).item(), *(step(X, Y, begins=False).item() for _ in range(2)), step(X, Y).item()]
    assert told == pytest.approx([*expected, expected[0]], rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_among_the_targets_go_to_every_micro_batch(engine):
    def loss(output, target):
        return F.cross_entropy(output / target["temperature"], target["labels"])

    whole, cut = (started(net(), engine, loss, micro_batches=number) for number in (1, 2))
    target = {"labels": Y, "temperature": torch.tensor(2.0)}
    assert cut(X, target).item() == pytest.approx(whole(X, target).item(), rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("module", "loss", "inputs", "target", "said"),
    [
        (net, None, {"x": X}, Y, "inputs=dict: a tensor, or a tuple of the tensors"),
        (net, None, X.numpy(), Y, "inputs=ndarray: a tensor"),
        (net, None, (X, np.ones(3)), Y, "inputs=.'Tensor', 'ndarray'.: a tensor"),
        (net, None, X, Y.numpy(), "target=numpy.ndarray: tensors are needed"),
        (lambda: nn.LazyLinear(3), None, X, Y, "module=weight: it has no shape yet"),
        (net, Scaled, X, Y, "loss=t: a trainable parameter of the module is allowed"),
    ],
)
def test_what_no_step_can_take_is_refused_in_one_line(*, engine, module, loss, inputs, target, said):
    with pytest.raises(RequestError, match=said) as refused:
        started(module(), engine, loss and loss())(inputs, target)
    assert "\n" not in str(refused.value)


def test_a_program_does_not_follow_autocast():
    step = started(net(), "manual")
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(RequestError, match=r"engine=manual: within torch\.autocast"),
    ):
        step(X, Y)
    step(X, Y)
