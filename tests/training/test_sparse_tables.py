"""A run with sparse tables: one hash for any number of workers, that of the dense run where the rules agree."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import distbp
from distbp.comm import threads
from distbp.comm.local import LocalCommunicator
from distbp.data.loader import Loader
from distbp.data.split import Split
from distbp.record import Silence
from distbp.reduction.row_cost import WAYS
from distbp.reduction.row_reducer import RowReducer
from distbp.training import optimizers
from distbp.training.checkpoint import load
from distbp.training.data_parallel import DataParallel
from distbp.training.digest import digest
from distbp.training.plan import Plan
from distbp.training.schedules import constant
from distbp.training.shelf import saved
from distbp.training.trainer import Trainer
from distbp.workloads.base import Workload

DRAWING = threading.Lock()  # ranks may be threads: they take turns at the global generator
USERS, ITEMS, D = 50, 40, 8
STEPS = 12
SAMPLES = 61  # with batches of 23, the last of an epoch holds 15
RULES = {
    "sgd": {"lr": 0.1, "momentum": 0.0},
    "adagrad": {"lr": 0.1},
    "adam": {"lr": 0.01},
    "adamw": {"lr": 0.01},
    "momentum": {"lr": 0.03, "momentum": 0.9},
}


class Ratings(nn.Module):
    """A user's row and the mean of some items' rows, into a small network, or multiplied without any."""

    def __init__(self, *, sparse: bool, head: bool) -> None:
        super().__init__()
        self.users = nn.Embedding(USERS, D, sparse=sparse, padding_idx=3)
        self.items = nn.EmbeddingBag(ITEMS, D, sparse=sparse, mode="sum")
        self.head = nn.Linear(2 * D, 1) if head else None

    def forward(self, user: Tensor, items: Tensor) -> Tensor:
        u, i = self.users(user), self.items(items)
        return (u * i).sum(1) if self.head is None else self.head(torch.cat([u, i], 1))[:, 0]


class Drawn(Split):
    def __len__(self):
        return SAMPLES

    def batch(self, samples, draws):
        n = torch.from_numpy(samples)
        items = torch.stack([(n * (k + 3) + k * k) % (ITEMS - 5) for k in range(4)], 1)
        return ((n * 7) % 45, items), (n % 5).float() - 2


def loss(output, target):
    return ((output - target) ** 2).sum(), target.shape[0]


def trainer(comm, folder, engine, rule, *, sparse=True, head=True, way=None, steps=STEPS, every=None, micro_batches=1):
    torch.set_num_threads(1)
    with DRAWING:
        torch.manual_seed(0)
        module = Ratings(sparse=sparse, head=head)
    workload = Workload(module, loss, lambda *_: {}, Drawn(), {"test": Drawn()})
    loader = Loader(workload.training, batch_size=23, shards=4, seed=0, rank=comm.rank, size=comm.size)
    parallel = DataParallel(module, loss, engine=engine, comm=comm, micro_batches=micro_batches)
    parallel.prepare(loader.example())
    parallel.divide_update()
    if way:
        parallel._rows = RowReducer(parallel.engine.tables, comm, way=way)
        parallel._parts = replace(parallel._parts, rows=parallel._rows)
    make = optimizers.sgd if rule == "momentum" else getattr(optimizers, rule)
    config = {"optimizer": {"_target_": rule}, "shards": 4, "threads": 1}
    plan = Plan(99, steps, RULES[rule]["lr"], 23, "never", every, 9, config)
    return Trainer(
        workload, parallel, loader, optimizer=make(parallel.updated, **RULES[rule]), schedule=constant(), plan=plan,
        split=workload.splits["test"], run_dir=folder,
    )  # fmt: skip


def train(comm, folder, engine, rule, told=None):
    """This rank's hash of its own weights."""
    made = trainer(comm, Path(folder), engine, rule, **(told or {}))
    made.fit(Silence())
    return digest(made.workload.module.state_dict())


def go_on(comm, folder, rule, told):
    """From the run's newest checkpoint to the end: this rank's hash of its own weights."""
    made = trainer(comm, Path(folder), "manual", rule, **told)
    newest = saved(made.run_dir / "checkpoints")[-1]
    made.resume(load(newest), newest)
    made.fit(Silence())
    return digest(made.workload.module.state_dict())


def alone(tmp_path, *args, **told):
    return train(LocalCommunicator(), tmp_path / "alone", *args, told)


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("rule", RULES)
def test_any_number_of_workers_gives_one_hash(tmp_path, engine, rule):
    (one,) = threads.run(1, train, tmp_path / "1", engine, rule)
    for size in (2, 3, 4):
        assert threads.run(size, train, tmp_path / str(size), engine, rule) == [one] * size


@pytest.mark.parametrize("head", [True, False], ids=["with dense layers", "tables alone"])
@pytest.mark.parametrize("rule", ["sgd", "adagrad"])
def test_where_the_rules_agree_the_hash_is_that_of_dense_tables(tmp_path, rule, head):
    dense = alone(tmp_path / "dense", "manual", rule, sparse=False, head=head)
    assert threads.run(3, train, tmp_path / "run", "manual", rule, {"head": head}) == [dense] * 3


def test_a_lazy_rule_is_another_than_the_dense_one(tmp_path):
    """A row that is not looked up stays where it is, though its moments would move it."""
    assert alone(tmp_path / "a", "manual", "adam") != alone(tmp_path / "b", "manual", "adam", sparse=False)


@pytest.mark.parametrize(("kind", "size"), [("mpi", 2), ("mpi", 3), ("torch", 2)])
@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_processes_give_the_hash_of_one_worker(*, pool, tmp_path, kind, size, engine):
    one = alone(tmp_path, engine, "adagrad")
    assert pool.run(kind, size, train, str(tmp_path / "run"), engine, "adagrad") == [one] * size


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("told", [{}, {"micro_batches": 2}], ids=str)
def test_each_way_of_summing_rows_gives_the_same_hash(tmp_path, way, told):
    one = alone(tmp_path, "manual", "adam", **told)
    assert threads.run(4, train, tmp_path / "run", "manual", "adam", {"way": way, **told}) == [one] * 4


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("head", [True, False], ids=["with dense layers", "tables alone"])
def test_going_on_gives_the_bits_of_the_undisturbed_run(tmp_path, rule, head):
    """On another number of workers; the state is in the checkpoint by the table's name."""
    whole = alone(tmp_path, "manual", rule, head=head)
    threads.run(1, train, tmp_path / "run", "manual", rule, {"steps": 5, "head": head})
    state = load(saved(tmp_path / "run" / "checkpoints")[-1]).optimizer
    kinds = {key.partition("/")[0] for key in state if not key.endswith("/")}
    assert all(state[f"{kind}/users.weight"].shape == (USERS, D) for kind in kinds)
    resumed = threads.run(2, go_on, tmp_path / "run", rule, {"head": head})
    assert resumed == [whole] * 2


@pytest.mark.parametrize("rule", RULES)
def test_rows_that_are_not_looked_up_stay_as_they_were(tmp_path, rule):
    made = trainer(LocalCommunicator(), tmp_path, "manual", rule)
    before = {name: p.detach().clone() for name, p in made.workload.module.named_parameters()}
    made.fit(Silence())
    after = dict(made.workload.module.named_parameters())
    for name, untouched in (("users.weight", [3, *range(45, USERS)]), ("items.weight", range(ITEMS - 5, ITEMS))):
        moved = (after[name] != before[name]).any(1)
        assert moved.any()
        assert not moved[list(untouched)].any()


def loop(comm, engine, sparse):
    """A loop of one's own with torch's optimizers: p.grad of a table is a sparse tensor."""
    torch.set_num_threads(1)
    with DRAWING:
        torch.manual_seed(0)
        module = Ratings(sparse=sparse, head=True)
    step = distbp.DataParallel(module, nn.MSELoss(), engine=engine, comm=comm)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for number in range(4):
        whole = torch.arange(12 * number, 12 * (number + 1))
        mine = whole[comm.rank * 12 // comm.size : (comm.rank + 1) * 12 // comm.size]
        optimizer.zero_grad()
        step(*Drawn().batch(mine.numpy(), None))
        assert module.users.weight.grad.is_sparse == sparse
        optimizer.step()
    return nn.utils.parameters_to_vector(module.parameters()).tolist()


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("size", [1, 3])
def test_a_loop_of_ones_own_has_sparse_gradients(engine, size):
    (dense,) = threads.run(1, loop, engine, False)
    for of_rank in threads.run(size, loop, engine, True):
        assert torch.allclose(torch.tensor(of_rank), torch.tensor(dense), rtol=1e-5, atol=1e-6)
