"""What a look tells of the layers is what plain torch tells, the same for any number of workers."""

import copy

import pytest
import torch

from distbp.comm import threads
from distbp.record import Silence
from tests.training.test_sparse_tables import Drawn, loss, trainer

STEPS, RATE = 4, 0.1


class Seen(Silence):
    def __init__(self):
        self.looks = []

    def layers(self, step, layers):
        self.looks.append((step, layers))


def looked(comm, folder, engine, head, every=1):
    """All looks of a few steps of plain SGD with two sparse tables."""
    made = trainer(comm, folder / str(comm.size), engine, "sgd", head=head, steps=STEPS)
    made.looks.every = every
    seen = Seen()
    made.fit(seen)
    return seen.looks


def by_torch(comm, folder):
    """The same on torch's tape, one process, dense tables: of their rows those that a step looks up."""
    made = trainer(comm, folder / "twin", "autograd", "sgd", sparse=False)
    module = copy.deepcopy(made.workload.module).double()
    for number, batch in enumerate(made.loader.epoch(0)):
        samples = [part.inputs for part in batch.parts]
        inputs = [torch.cat(tensors) for tensors in zip(*samples, strict=True)]
        target = torch.cat([part.target for part in batch.parts])
        module.zero_grad()
        total, count = loss(module(*inputs), target.double())
        (total / count).backward()
        look = {}
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                touched = parameter.grad.abs().sum(1) > 0 if "head" not in name else slice(None)
                gradient = parameter.grad[touched].norm().item()
                look[name] = (gradient, RATE * gradient, parameter[touched].norm().item())
                parameter.sub_(RATE * parameter.grad)
        yield number + 1, look


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_a_look_tells_what_torch_tells(tmp_path, engine):
    (looks,) = threads.run(1, looked, tmp_path, engine, True)
    assert [step for step, _ in looks] == [*range(1, STEPS + 1)]
    ((twin, _),) = threads.run(1, lambda comm: ([*by_torch(comm, tmp_path)], len(Drawn())))
    for (step, layers), (its_step, expected) in zip(looks, twin, strict=False):
        assert (step, [*layers]) == (its_step, [*expected])
        for name, norms in layers.items():
            assert norms == pytest.approx(expected[name], rel=1e-4)


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize(("size", "per_node"), [(2, 2), (3, 1), (4, 2)])
def test_any_workers_tell_the_same(tmp_path, size, per_node, head):
    (alone,) = threads.run(1, looked, tmp_path, "autograd", head, 2)
    assert [step for step, _ in alone] == [2, 4]
    assert alone[0][1]
    assert threads.run(size, looked, tmp_path, "autograd", head, 2, ranks_per_node=per_node) == [alone] * size
