"""A gradient that is not a number changes nothing, on any rank, and is named."""

import threading
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from distbp.comm import threads
from distbp.data.loader import Loader
from distbp.data.part import Part
from distbp.data.split import Split
from distbp.engines.autograd import AutogradEngine
from distbp.errors import JobError
from distbp.record import Silence
from distbp.training.data_parallel import DataParallel
from distbp.training.flat_state import by_name
from distbp.training.optimizers import adamw
from distbp.training.plan import Plan
from distbp.training.schedules import constant
from distbp.training.snapshot import taken
from distbp.training.trainer import MOST_SKIPPED, Trainer
from distbp.workloads.base import Workload

STEPS = 4
CONFIG = {"optimizer": {"_target_": "adamw"}}
PARAMETERS = ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]
DRAWING = threading.Lock()


class Samples(Split):
    def __len__(self):
        return 64

    def batch(self, samples, draws):
        x = torch.from_numpy(samples).float()
        return (torch.stack([x.sin(), x.cos(), x / 64], 1),), torch.from_numpy(samples) % 3


class Poisoned(AutogradEngine):
    """Writes a number that is none into one gradient of the parts of one rank, at some steps."""

    def __init__(self, module, loss, poison, name, when):
        super().__init__(module, loss)
        self.poison, self.name, self.when, self.calls = poison, name, when, 0

    def gradients(self, part, destination, state=None):
        outcome = super().gradients(part, destination, state)
        if self.when(self.trainer.position if hasattr(self, "trainer") else -1):
            destination.gradients[self.name].view(-1)[-1] = self.poison
        return outcome


class Told(Silence):
    def __init__(self):
        self.causes, self.steps = [], []

    def step(self, batch, figures, milliseconds):
        self.steps.append(batch.step)

    def skipped(self, step, cause):
        self.causes.append((step, cause))


def loss(output, target):
    return nn.functional.cross_entropy(output, target, reduction="sum"), len(target)


def held(trainer):
    """All that a bad step must leave alone."""
    state = by_name(trainer.optimizer, trainer.parallel.weights, step=trainer.position)
    model = trainer.workload.module.state_dict()
    return {name: value.clone() for name, value in (model | state).items()}


def poisoned(comm, folder, rank, name, poison, first, last):  # noqa: PLR0917 - threads pass them in order
    """A trainer with a poison on ``rank`` from step ``first`` to ``last``."""
    with DRAWING:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    engine = Poisoned(module, loss, poison, name, lambda step: comm.rank == rank and first <= step <= last)
    loader = Loader(Samples(), batch_size=16, shards=3, seed=0, rank=comm.rank, size=comm.size, min_part=2)
    parallel = DataParallel(module, loss, engine=engine, comm=comm, min_part=2, guard_every=1)
    parallel.prepare(loader.example())
    parallel.divide_update()
    workload = Workload(module, loss, metrics=lambda *_: {}, training=Samples(), splits={}, min_part=2)
    trainer = engine.trainer = Trainer(
        workload, parallel, loader, optimizer=adamw(parallel.updated, lr=0.1), schedule=constant(),
        plan=Plan(9, None, 0.1, 16, "never", None, 1, CONFIG, nonfinite="skip"), split=Samples(), run_dir=folder,
    )  # fmt: skip
    trainer.record = Told()
    return trainer


def run(comm, *given):
    """An epoch of ``poisoned``; what was told, and which steps changed what."""
    trainer, changed = poisoned(comm, *given), []
    for batch in trainer.loader.epoch(0):
        before = held(trainer)
        trainer.step(batch)
        after = held(trainer)
        changed.append(before.keys() != after.keys() or any(not torch.equal(before[n], after[n]) for n in before))
        assert all(torch.isfinite(value).all() for value in after.values())
    return trainer.record, changed


@settings(max_examples=30)
@given(
    size=st.integers(1, 3),
    rank=st.integers(0, 2),
    name=st.sampled_from(PARAMETERS),
    poison=st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    first=st.integers(0, 2),
    length=st.integers(1, 2),
)
def test_a_bad_step_changes_nothing(*, tmp_path_factory, size, rank, name, poison, first, length):
    changes_nothing(size, tmp_path_factory.getbasetemp(), rank % size, name, poison, first, first + length - 1)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("rank", "name"), [*product(range(3), PARAMETERS)])
def test_on_every_rank_in_every_layer_at_every_step(tmp_path, rank, name):
    for step, poison in product(range(STEPS), (float("nan"), float("inf"))):
        changes_nothing(3, tmp_path, rank, name, poison, step, step)


def changes_nothing(size, folder, rank, name, poison, first, last):  # noqa: PLR0917 - as run has them
    """The weights, and all else that is held, are to the bit as before; the steps between change them."""
    for told, changed in threads.run(size, run, folder, rank, name, poison, first, last):
        assert [step for step, bad in enumerate(changed) if not bad] == list(range(first, last + 1))
        assert [step for step, _ in told.causes] == list(range(first + 1, last + 2))
        for step, cause in told.causes:
            assert cause.startswith(
                f"rank {rank} failed at step {step - 1} in phase compute: its gradient of {name} is"
            )


def endless(comm, folder, saved):
    """Train with a poison on the last rank that never ends; on from a checkpoint of the step after ``saved``."""
    poison = (folder, comm.size - 1, "2.bias", float("nan"), 11 - MOST_SKIPPED, 99)
    trainer = poisoned(comm, *poison)
    for epoch in range(3):
        for batch in trainer.loader.epoch(epoch):
            trainer.step(batch)
            if batch.step == saved:
                checkpoint = taken(trainer)
                trainer = poisoned(comm, *poison)
                trainer.resume(checkpoint, folder / "elsewhere")


@pytest.mark.parametrize("saved", [None, 0, 5, 10])
def test_it_does_not_go_on_for_ever_whenever_it_is_resumed(tmp_path, saved):
    with pytest.raises(JobError, match=r"rank 1 failed at step 11 in phase compute: its gradient of 2\.bias"):
        threads.run(2, endless, tmp_path, saved)


class Steep(nn.Module):
    """Its gradients are the target itself, summed: two large ones overflow together, and the loss stays 0."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 3)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x):
        return self.layer(x)


def along(output, target):
    return (output * target).sum(), len(target)


def overflowing(comm, engine):
    """Who is blamed where each of eight parts has gradients that are numbers, and their sum has none."""
    with DRAWING:
        module = Steep()
    parallel = DataParallel(module, along, engine=engine, comm=comm)
    own = range(comm.rank * 8 // comm.size, (comm.rank + 1) * 8 // comm.size)
    parts = [Part(v, (torch.zeros(2, 1),), torch.full((2, 3), 1.5e38 if v < 2 else 1.0), draws=0) for v in own]
    with DRAWING:  # one lowers at a time; then all lay out together
        parallel.engine.prepare(parts[0])
    parallel.prepare(parts[0])
    present = (True,) * 8
    assert not parallel.gradients(parts, present, step=3).finite
    return str(parallel.blame(parts, present, step=3))


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_a_sum_that_overflows_is_blamed_on_no_rank_on_any_number_of_workers(engine):
    told = {error for size in (1, 2, 8) for error in threads.run(size, overflowing, engine)}
    (error,) = told
    assert "the sum of the gradients of layer.bias is not finite, though every rank's is" in error
