"""The library's step: on any number of workers, p.grad is the gradient of the mean loss over the global batch."""

import threading

import pytest
import torch
from torch import nn

import distbp
from distbp.comm.local import LocalCommunicator
from distbp.errors import RequestError
from tests.pool import GROUPS

DRAWING = threading.Lock()  # ranks may be threads: they take turns at the global generator
N = 13  # examples of a global batch: no number of workers divides it


def model():
    with DRAWING:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def examples():
    draws = torch.Generator().manual_seed(1)
    return torch.randn(N, 5, generator=draws, dtype=torch.float64), torch.randint(0, 3, (N,), generator=draws)


def mean_loss(output, target):
    return nn.functional.cross_entropy(output, target)


def summed_loss(output, target):
    return nn.functional.cross_entropy(output, target, reduction="sum"), target.shape[0]


LOSSES = {"mean": mean_loss, "sum": summed_loss}


def by_hand(steps):
    """Plain torch on the whole batch: the losses, and the parameters after some steps of SGD."""
    module, (inputs, target) = model(), examples()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = mean_loss(module(inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, nn.utils.parameters_to_vector(module.parameters()).tolist()


def own_part(comm):
    inputs, target = examples()
    mine = slice(comm.rank * N // comm.size, (comm.rank + 1) * N // comm.size)
    return inputs[mine], target[mine]


def loop(comm, engine, loss):
    """The loop of a user who has one already."""
    module = model()
    if comm.rank > 0:
        nn.init.zeros_(module[0].weight)  # the workers begin with rank 0's weights, whatever they have
    step = distbp.DataParallel(module, LOSSES[loss], engine=engine, comm=comm)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        losses.append(step(*own_part(comm)).item())
        optimizer.step()
    return losses, nn.utils.parameters_to_vector(module.parameters()).tolist()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize(("kind", "size"), GROUPS)
def test_a_loop_of_ones_own_is_that_of_one_worker_by_hand(*, pool, kind, size, engine, loss):
    expected_losses, expected = by_hand(5)
    for losses, parameters in pool.run(kind, size, loop, engine, loss):
        assert losses == pytest.approx(expected_losses, rel=1e-6)  # the loss is given back as float32
        assert parameters == pytest.approx(expected, rel=1e-12, abs=1e-14)


def with_nothing_left(comm, engine, micro_batches):
    """The last rank has no examples any more; the others share them."""
    module = model()
    step = distbp.DataParallel(module, summed_loss, engine=engine, micro_batches=micro_batches, comm=comm)
    inputs, target = examples()
    step(inputs, target)
    empty = comm.rank == comm.size - 1
    loss = step(inputs[:0], target[:0]) if empty else step(inputs, target)
    return loss.item(), module[2].bias.grad.tolist()


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("micro_batches", [1, 3])
def test_a_worker_with_nothing_left_adds_nothing(pool, engine, micro_batches):
    module, (inputs, target) = model(), examples()
    expected = mean_loss(module(inputs), target)
    expected.backward()
    for loss, gradient in pool.run("mpi", 3, with_nothing_left, engine, micro_batches):
        assert loss == pytest.approx(expected.item(), rel=1e-6)
        assert gradient == pytest.approx(module[2].bias.grad.tolist(), rel=1e-12)


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_parameters_and_gradients_are_views_into_the_buffers(engine):
    module = model()
    step = distbp.DataParallel(module, mean_loss, engine=engine, comm=LocalCommunicator())
    step(*examples())
    parameters, gradients = step.weights.shares[0], step.flat_gradients[0]
    for parameter in module.parameters():
        assert parameter.untyped_storage().data_ptr() == parameters.untyped_storage().data_ptr()
        assert parameter.grad.untyped_storage().data_ptr() == gradients.untyped_storage().data_ptr()
        assert parameter.data_ptr() % 64 == parameter.grad.data_ptr() % 64 == 0


def gradients_that_stay(comm, engine):
    """Every p.grad lies in the memory that the workers share, from the first step to the last."""
    step = distbp.DataParallel(model(), summed_loss, engine=engine, comm=comm)
    found = set()
    for _ in range(3):
        step(*own_part(comm))
        found.add(tuple(parameter.grad.data_ptr() for parameter in step.module.parameters()))
    window = step.reducer.total.window
    begin, end = window.own.data_ptr(), window.own.data_ptr() + window.own.nbytes
    return [window.shared, len(found), all(begin <= place < end for place in found.pop())]


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("kind", ["threads", "mpi"])
def test_gradients_are_formed_where_they_are_summed(pool, kind, engine):
    assert pool.run(kind, 2, gradients_that_stay, engine) == [[True, 1, True]] * 2


class Averaging(nn.Module):
    """A module with float and integer buffers that move, as batch norm's do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3).double()
        self.norm = nn.BatchNorm1d(3).double()

    def forward(self, x):
        return self.norm(self.linear(x))


def moved_buffers(comm):
    torch.manual_seed(0)
    module = Averaging()
    step = distbp.DataParallel(module, summed_loss, engine="autograd", comm=comm)
    for _ in range(3):
        step(*own_part(comm))
    return module.norm.running_mean.tolist(), module.norm.num_batches_tracked.item()


def test_buffers_move_by_the_mean_over_the_parts(pool):
    """And are the same on every worker: float ones by the mean change, integer ones as the first part's."""
    torch.manual_seed(0)
    module, (inputs, _) = Averaging(), examples()
    expected = torch.zeros(3, dtype=torch.float64)
    for _ in range(3):
        parts = [inputs[r * N // 3 : (r + 1) * N // 3] for r in range(3)]
        expected += sum(0.1 * (module.linear(part).mean(dim=0) - expected) for part in parts).detach() / 3
    for mean, batches in pool.run("mpi", 3, moved_buffers):
        assert mean == pytest.approx(expected.tolist(), rel=1e-12)
        assert batches == 3


def test_all_labels_ignored_gives_zero_not_nan():
    def loss(output, target):
        return nn.functional.cross_entropy(output, target, reduction="sum"), (target != -100).sum()

    module, (inputs, _) = model(), examples()
    step = distbp.DataParallel(module, loss, comm=LocalCommunicator())
    assert step(inputs, torch.full((N,), -100)).item() == 0.0
    assert all((parameter.grad == 0).all() for parameter in module.parameters())


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_a_parameter_frozen_on_the_way_stays_as_it_is(engine):
    ours, theirs = model(), model()
    step = distbp.DataParallel(ours, mean_loss, engine=engine, comm=LocalCommunicator())
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1) for m in (ours, theirs)]
    for size in (N, N, 4):
        inputs, target = (tensor[:size] for tensor in examples())
        optimizers[1].zero_grad()
        mean_loss(theirs(inputs), target).backward()
        step(inputs, target)
        for optimizer, module in zip(optimizers, (ours, theirs), strict=True):
            optimizer.step()
            module[2].weight.requires_grad_(False)
    assert ours[2].weight.grad is None
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).detach(), parameter.detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("key", "value", "near"), [("engine", "manul", "manual"), ("reduction", "order", "ordered")])
def test_wrong_names_are_refused(key, value, near):
    with pytest.raises(RequestError, match=f"{key}={value}: .*nearest: {near}"):
        distbp.DataParallel(model(), mean_loss, comm=LocalCommunicator(), **{key: value})


def test_the_source_can_be_read():
    step = distbp.DataParallel(model(), mean_loss, comm=LocalCommunicator())
    step(*examples())
    assert "def forward" in step.source
    assert "def backward" in step.source


def buffers_with_an_empty_worker(comm, empty):
    with DRAWING:
        torch.manual_seed(0)
        module = Averaging()
    step = distbp.DataParallel(module, summed_loss, engine="autograd", comm=comm)
    inputs, target = examples()
    step(*((inputs[:0], target[:0]) if comm.rank == empty else (inputs, target)))
    return module.norm.running_mean.tolist(), module.norm.num_batches_tracked.item()


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_worker_does_not_count_for_buffers(pool, empty):
    torch.manual_seed(0)
    module, (inputs, _) = Averaging(), examples()
    module(inputs)
    for mean, batches in pool.run("mpi", 2, buffers_with_an_empty_worker, empty):
        assert mean == pytest.approx(module.norm.running_mean.tolist(), rel=1e-12)
        assert batches == 1


def test_buffers_that_the_first_batch_leaves_alone_move_later():
    module = Averaging()
    nn.init.zeros_(module.linear.weight)
    nn.init.zeros_(module.linear.bias)
    step = distbp.DataParallel(module, summed_loss, engine="autograd", comm=LocalCommunicator())
    step(*examples())
    nn.init.ones_(module.linear.weight)
    step(*examples())
    assert (module.norm.running_mean != 0).all()


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_buffers_that_begin_to_move_later_are_refused(engine):
    module = Averaging()
    step = distbp.DataParallel(module, summed_loss, engine=engine, comm=LocalCommunicator())
    module.eval()
    step(*examples())
    module.train()
    with pytest.raises(RequestError, match=r"buffer=norm\.\w+: .*begin with the module in the mode"):
        step(*examples())


class Rewriting(nn.Module):
    """A module that writes into its buffers what they hold already, in two ways."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3).double()
        self.register_buffer("places", torch.arange(5))
        self.register_buffer("scale", torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        self.places.copy_(torch.arange(5))
        self.scale = torch.ones(3, dtype=torch.float64)
        return self.linear(x[:, self.places]) * self.scale


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_buffers_may_be_written_as_they_are(engine):
    module = Rewriting()
    step = distbp.DataParallel(module, summed_loss, engine=engine, comm=LocalCommunicator())
    losses = [step(*examples()).item() for _ in range(3)]
    assert len(set(losses)) == 1
    assert module.places.tolist() == [0, 1, 2, 3, 4]
    assert module.scale.tolist() == [1, 1, 1]


def test_a_forward_pass_that_changes_a_parameter_is_refused():
    module = nn.Sequential(nn.Embedding(8, 5, max_norm=0.5), nn.Linear(5, 3)).double()
    step = distbp.DataParallel(module, summed_loss, engine="autograd", comm=LocalCommunicator())
    with pytest.raises(RequestError, match=r"module=0\.weight: forward must not change a parameter"):
        step(torch.arange(N) % 8, examples()[1])


class Placed(nn.Module):
    """A module whose buffers lie in memory in unusual ways: expanded, and where no word of 8 bytes begins."""

    def __init__(self, rank):
        super().__init__()
        self.linear = nn.Linear(5, 3)
        self.register_buffer("expanded", torch.full((1, 3), 1.0 + rank).expand(4, 3))
        self.register_buffer("sliced", torch.full((4,), 1.0 + rank)[1:])
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.linear(x)) * self.expanded[0] + self.sliced


def placed_anywhere(comm, engine):
    with DRAWING:
        torch.manual_seed(0)
        module = Placed(comm.rank)
    step = distbp.DataParallel(module, nn.MSELoss(), engine=engine, comm=comm, guard_every=1)
    for _ in range(2):
        step(torch.ones(2, 5) * torch.arange(2).view(2, 1), torch.zeros(2, 3))
    return [module.expanded.tolist(), module.sliced.tolist(), module.norm.running_mean.tolist()]


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_buffers_may_lie_in_memory_as_they_like(pool, engine):
    first, second = pool.run("mpi", 2, placed_anywhere, engine)
    assert first == second
    assert first[:2] == [[[1.0] * 3] * 4, [1.0] * 3]
    assert first == pool.run("local", 1, placed_anywhere, engine)[0]


def test_a_count_below_one_divides(pool):
    def loss(output, target):
        return 0.5 * ((output - target) ** 2).sum(), torch.tensor(0.5)

    module = nn.Linear(1, 1)
    step = distbp.DataParallel(module, loss, comm=LocalCommunicator())
    step(torch.ones(1, 1), module(torch.ones(1, 1)).detach() - 1)
    assert module.bias.grad.item() == pytest.approx(2.0)


def unlike(comm):
    try:
        distbp.DataParallel(nn.Linear(8, 1 + comm.rank), nn.MSELoss(), comm=comm)
    except RequestError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", ["mpi", "torch"])
def test_workers_with_unlike_modules_are_refused(pool, kind):
    expected = "module=weight (2, 8) torch.float32 on rank 1: weight (1, 8) torch.float32 is allowed, as on rank 0"
    assert pool.run(kind, 2, unlike) == [expected] * 2


def transposed(comm):
    module = nn.Linear(3, 2)
    module.weight = nn.Parameter(torch.full((3, 2), float(comm.rank)).t())
    step = distbp.DataParallel(module, nn.MSELoss(), comm=comm)
    return step(torch.ones(2, 3), torch.zeros(2, 2)).item(), module.weight.tolist()


def test_parameters_may_lie_in_memory_as_they_like(pool):
    (first, second) = pool.run("mpi", 2, transposed)
    assert first == second
    assert first[1] == [[0.0] * 3] * 2


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("replaced", ["a layer", "a parameter"])
def test_a_parameter_that_comes_later_is_refused(engine, replaced):
    module = model()
    step = distbp.DataParallel(module, mean_loss, engine=engine, comm=LocalCommunicator())
    step(*examples())
    if replaced == "a layer":
        module[2] = nn.Linear(*module[2].weight.shape[::-1]).double()
    else:
        module[2].weight = nn.Parameter(module[2].weight.detach().clone())
    with pytest.raises(RequestError, match=r"module=2\.weight: what is trained is settled in the first step"):
        step(*examples())


def test_a_mean_over_the_examples_may_be_called_otherwise():
    step = distbp.DataParallel(model(), nn.KLDivLoss(reduction="batchmean"), comm=LocalCommunicator())
    inputs, _ = examples()
    target = torch.full((N, 3), 1 / 3, dtype=torch.float64)
    expected = nn.functional.kl_div(model()(inputs), target, reduction="batchmean")
    assert step(inputs, target).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_loss_that_is_a_plain_sum_is_refused():
    with pytest.raises(RequestError, match=r"loss=CrossEntropyLoss\(\): a mean is allowed"):
        distbp.DataParallel(model(), nn.CrossEntropyLoss(reduction="sum"), comm=LocalCommunicator())


WEIGHTS = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
OF_CLASSES = {
    "plain": nn.CrossEntropyLoss(),
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    "ignoring": nn.CrossEntropyLoss(ignore_index=0),
    "weighed": nn.CrossEntropyLoss(weight=WEIGHTS),
    "all": nn.CrossEntropyLoss(weight=WEIGHTS, ignore_index=2, label_smoothing=0.2),
    "likelihoods": nn.NLLLoss(weight=WEIGHTS, ignore_index=1),
    "a function": nn.functional.cross_entropy,
}


def by_classes(comm, engine, name):
    """Parts of unlike numbers of targets that count, one of them with none."""
    module = model()
    step = distbp.DataParallel(module, OF_CLASSES[name], engine=engine, comm=comm)
    inputs, target = labelled(OF_CLASSES[name])
    cut = slice(comm.rank * N // comm.size, (comm.rank + 1) * N // comm.size)
    return step(inputs[cut], target[cut]).item(), module[2].bias.grad.tolist()


def labelled(loss):
    inputs, _ = examples()
    left_out = getattr(loss, "ignore_index", -100)
    return inputs, torch.tensor([0, 0, 0, 0, 1, left_out, 2, 0, 1, 1, 2, 2, 2])


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_targets_that_are_left_out_or_weighed_count_as_for_one_worker(pool, engine, name):
    module, loss = model(), OF_CLASSES[name]
    inputs, target = labelled(loss)
    expected = loss(module(inputs), target)
    expected.backward()
    for told, gradient in pool.run("mpi", 3, by_classes, engine, name):
        assert told == pytest.approx(expected.item(), rel=1e-6)
        assert gradient == pytest.approx(module[2].bias.grad.tolist(), rel=1e-10, abs=1e-14)


class Turned(nn.Module):
    """Two layers whose gradients complete in an order that follows from the number of examples."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x):
        return self.a(x).tanh() + self.b(x) if len(x) > 6 else self.b(x) + self.a(x).tanh()


def of_unequal_parts(comm, engine):
    with DRAWING:
        torch.manual_seed(0)
        module = Turned().double()
    step = distbp.DataParallel(module, mean_loss, engine=engine, comm=comm)
    inputs, target = examples()
    mine = slice(0, 9) if comm.rank == 0 else slice(9, N)
    step(inputs[mine], target[mine])
    return [p.grad.tolist() for p in module.parameters()], list(step.engine.emissions)


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_workers_whose_first_batches_make_other_programs_sum_what_belongs_together(pool, engine):
    (expected, _), *_ = pool.run("local", 1, of_one_batch, engine)
    (first, order), (second, other) = pool.run("mpi", 2, of_unequal_parts, engine)
    assert first == second
    assert order == other
    for found, right in zip(first, expected, strict=True):
        assert torch.allclose(torch.tensor(found), torch.tensor(right), rtol=1e-6)


def of_one_batch(comm, engine):
    with DRAWING:
        torch.manual_seed(0)
        module = Turned().double()
    step = distbp.DataParallel(module, mean_loss, engine=engine, comm=comm)
    step(*examples())
    return [p.grad.tolist() for p in module.parameters()], list(step.engine.emissions)
