"""Two steps and ten thousand use the same memory: bytes of torch's allocator, objects of Python's, resident pages."""

import sys
from collections.abc import Callable
from itertools import count

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import distbp
from distbp.bench.memory import calm, kilobytes
from distbp.comm.local import LocalCommunicator
from distbp.data.part import Part
from distbp.engines.manual import ManualEngine
from tests.engines.agreement import Run
from tests.engines.models import MODELS, Model

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 10_000
SLACK = 1_000  # of objects and of kilobytes: a tensor of one number, kept every time, leaves 10,000 and 5,000 or more


def kept(step: Callable[[], object], steps: int) -> int:
    """The bytes that ``steps`` steps take from torch's allocator and do not give back.

    The profiler knows of the blocks that were given out while some profile watched: hence a step in one before.
    """
    for watched in (1, steps):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            for _ in range(watched):
                step()
    return sum(event.self_cpu_memory_usage for event in profiler.key_averages())


def grown(step: Callable[[], object], steps: int) -> tuple[int, int]:
    """By how many objects of Python's, and kilobytes of resident memory, ``steps`` steps leave the process larger."""
    readings = []
    for watched in (100, steps):
        for _ in range(watched):
            step()
        calm()
        readings.append((sys.getallocatedblocks(), kilobytes("VmRSS") or 0))
    (objects, resident), (objects_then, resident_then) = readings
    return objects_then - objects, resident_then - resident


def tiny() -> Callable[[], object]:
    """A whole step of a perceptron: its gradients as a user has them, and a fused update."""
    module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    step = distbp.DataParallel(module, torch.nn.CrossEntropyLoss(), comm=LocalCommunicator())
    inputs, target = torch.randn(6, 8), torch.randint(4, (6,))
    step(inputs, target)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)

    def both() -> None:
        step(inputs, target)
        optimizer.step()

    return both


def leaking(step: Callable[[], object]) -> Callable[[], object]:
    """``step``, with one number in a tensor of its own kept every time."""
    leak: list[Tensor] = []
    return lambda: (step(), leak.append(torch.ones(1)))


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_no_byte_is_kept(model: Model) -> None:
    run = Run(ManualEngine(model.build(), model.loss))
    part, draws = model.part(), count()

    def step() -> None:
        fresh = Part(0, part.inputs, part.target, draws=next(draws))
        run.over(fresh, fresh)
        run.outcomes.clear()
        run.completed.clear()

    for _ in range(3):
        step()
    assert kept(step, 10) == 0


def test_ten_thousand_steps_leave_the_process_as_it_was() -> None:
    objects, resident = grown(tiny(), STEPS)
    assert objects < SLACK
    assert resident < SLACK


def test_a_leak_is_seen() -> None:
    assert kept(leaking(tiny()), 20) == 20 * 4
    objects, resident = grown(leaking(tiny()), STEPS)
    assert objects >= STEPS
    assert resident > 2 * SLACK or kilobytes("VmRSS") is None
