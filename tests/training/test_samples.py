"""Each epoch takes every sample once, whoever trains, is killed and goes on, and the weights are one worker's."""

import random
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from distbp.comm import threads
from distbp.data.loader import Loader
from distbp.data.split import Split
from distbp.engines.autograd import AutogradEngine
from distbp.record import Silence
from distbp.training.data_parallel import DataParallel
from distbp.training.optimizers import adamw
from distbp.training.plan import Plan
from distbp.training.schedules import cosine
from distbp.training.shelf import newest_good
from distbp.training.trainer import Trainer
from distbp.workloads.base import Workload

EPOCHS, SHARDS = 3, 4
PATIENCE = 300.0  # seconds for the threads of a run, on a busy machine
CONFIG = {"optimizer": {"_target_": "adamw"}, "shards": SHARDS, "threads": 1, "overrides": []}
DRAWING = threading.Lock()


class Numbered(Split):
    """n samples, each with a draw of its own; the target of a sample is its number."""

    draws, pure = 1, True

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def batch(self, samples, draws):
        numbers = torch.from_numpy(samples)
        x = numbers.float()
        return (torch.stack([x.sin(), x.cos(), torch.from_numpy(draws[:, 0]).float()], 1),), numbers


class Noting(AutogradEngine):
    """Writes down the numbers of the samples of each part that it computes, with the step and the part."""

    def __init__(self, module, loss, notes):
        super().__init__(module, loss)
        self.notes = notes

    def gradients(self, part, destination, state=None):
        self.notes.append((self.trainer.position, part.index, part.target.tolist()))
        return super().gradients(part, destination, state)


class KilledError(Exception):
    """What a worker ends by."""


class Deadly(Silence):
    """Kills a worker once it has done so many steps: it says nothing more, and saves nothing."""

    def __init__(self, after):
        self.after = after

    def step(self, batch, figures, milliseconds):
        if batch.step + 1 == self.after:
            raise KilledError


def loss(output, target):
    return nn.functional.cross_entropy(output, target % 3, reduction="sum"), len(target)


def run(comm, folder, case, every, found, notes, victim, kill):  # noqa: PLR0917 - threads pass them in order
    """Train on from what was found, until the rank ``victim`` dies after ``kill`` steps; the weights."""
    n, batch_size = case
    with DRAWING:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    split = Numbered(n)
    engine = Noting(module, loss, notes)
    loader = Loader(split, batch_size=batch_size, shards=SHARDS, seed=n, rank=comm.rank, size=comm.size)
    parallel = DataParallel(module, loss, engine=engine, comm=comm)
    parallel.prepare(loader.example())
    parallel.divide_update()
    workload = Workload(module, loss, metrics=lambda _output, _target: {}, training=split, splits={})
    trainer = engine.trainer = Trainer(
        workload, parallel, loader, optimizer=adamw(parallel.updated, lr=0.1), schedule=cosine(),
        plan=Plan(EPOCHS, None, 0.1, batch_size, "never", every, 2, config=CONFIG), split=split, run_dir=folder,
    )  # fmt: skip
    if found:
        trainer.resume(found.checkpoint, found.path)
    try:
        trainer.fit(Deadly(kill if comm.rank == victim else None))
    finally:
        trainer.writer.wait()  # a thread of this process, which does not end with the worker
    return {name: value.clone() for name, value in module.state_dict().items()}


def disturbed(folder, case, workers, draws):
    """The notes, and the weights of every rank, of a run that is killed once and goes on, on other workers."""
    before, after = workers
    steps, notes, every = EPOCHS * -(-case[0] // case[1]), [], draws.randint(1, 5)
    with pytest.raises((KilledError, threading.BrokenBarrierError)):
        threads.run(
            before,
            run,
            folder,
            case,
            every,
            None,
            notes,
            draws.randrange(before),
            draws.randint(1, steps),
            timeout=PATIENCE,
        )
    found = newest_good("latest", folder)
    done = found.checkpoint.step if found else 0
    notes = [note for note in notes if note[0] < done]
    return notes, threads.run(after, run, folder, case, every, found, notes, None, None, timeout=PATIENCE)


def undisturbed(folder, case):
    """The notes and the weights of one worker that nothing disturbs; every epoch is a permutation."""
    notes, (n, batch_size) = [], case
    (weights,) = threads.run(1, run, folder, case, None, None, notes, None, None, timeout=PATIENCE)
    for epoch in range(EPOCHS):
        taken = [sample for step, _, samples in notes if step // -(-n // batch_size) == epoch for sample in samples]
        assert sorted(taken) == list(range(n)), epoch
    return notes, weights


def held(found, expected):
    """The law: the same samples in the same steps and parts, and the same bits on every rank."""
    notes, everyones = found
    assert sorted(notes) == expected[0]
    for weights in everyones:
        assert all(torch.equal(value, expected[1][name]) for name, value in weights.items())


@settings(max_examples=15)
@given(
    case=st.tuples(st.integers(1, 50), st.integers(1, 8)),
    workers=st.permutations(range(1, SHARDS + 1)),
    seed=st.integers(0, 2**32),
)
def test_an_epoch_is_a_permutation_and_the_weights_are_one_workers(tmp_path_factory, case, workers, seed):
    folder = tmp_path_factory.mktemp("run")
    found = disturbed(folder / "cut", case, workers[:2], random.Random(seed))
    held(found, undisturbed(folder / "whole", case))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("n", range(1, 51))
def test_of_so_many_samples(tmp_path, n):
    """Batches of 1 to 8, from every number of workers up to 4 to another one."""
    draws = random.Random(n)
    for batch_size in range(1, 9):
        case = n, batch_size
        expected = undisturbed(tmp_path / f"whole-{batch_size}", case)
        for before in range(1, SHARDS + 1):
            after = draws.choice([size for size in range(1, SHARDS + 1) if size != before])
            held(disturbed(tmp_path / f"{batch_size}-{before}", case, (before, after), draws), expected)
