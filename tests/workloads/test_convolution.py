"""The convolutional nets: held to their twins in plain torch, engine by engine."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distbp.data.loader import Loader
from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Engine
from distbp.engines.manual import ManualEngine
from distbp.workloads.base import Workload
from distbp.workloads.convolution import lenet
from distbp.workloads.digits import digits_cnn
from distbp.workloads.fashion import fashion_cnn
from tests.data import idx_files
from tests.engines.agreement import Run, as_dtype, beyond, excesses, run
from tests.workloads import twins

LR, STEPS = 0.01, 50
NET: dict[str, Any] = {"channels": [4, 6], "hidden": [16], "dropout": twins.DROPOUT, "cache": "/nonexistent", "seed": 3}
AFFINE = {"rotation": 12.0, "scale": 0.15, "shear": 0.2, "shift": 2.0}


def digits(path: Path) -> Workload:
    return digits_cnn(**NET, **AFFINE, path=str(path))


def fashion(path: Path, *, held_out: bool = False) -> Workload:
    return fashion_cnn(**NET, padding=2, held_out=held_out, path=str(path))


WORKLOADS = {"digits_cnn": (digits, twins.lenet), "fashion_cnn": (fashion, twins.normalized)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return idx_files.write(tmp_path_factory.mktemp("idx"))


def parts(workload: Workload, number: int, dtype: torch.dtype) -> list[Part]:
    """The first batches of 12 samples."""
    loader = Loader(workload.training, batch_size=12, shards=1, seed=0, rank=0, size=1, min_part=workload.min_part)
    batches = (batch for epoch in range(number) for batch in loader.epoch(epoch))
    return [as_dtype(batch.parts[0], dtype) for batch in islice(batches, number)]


@pytest.mark.parametrize("make_engine", [ManualEngine, AutogradEngine])
@pytest.mark.parametrize("name", WORKLOADS)
def test_fifty_steps_are_those_of_the_twin(folder: Path, name: str, make_engine: Callable[..., Engine]) -> None:
    make, net = WORKLOADS[name]
    workload = make(folder)
    module = workload.module.double()
    batches = parts(workload, STEPS, torch.float64)
    expected = twins.trained(net, module, batches, lr=LR)
    engine = make_engine(module, workload.loss)
    engine.prepare(batches[0])
    gradients = Run(engine)
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=0.9)
    for part in batches:
        for weight, gradient in zip(module.parameters(), gradients.over(part).values(), strict=True):
            weight.grad = gradient / len(part)
        optimizer.step()
    moved = dict(module.named_parameters())
    for key, weight in expected.items():
        torch.testing.assert_close(moved[key], weight, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", WORKLOADS)
def test_gradients_in_float32_hold_to_the_contract(folder: Path, name: str) -> None:
    make, _ = WORKLOADS[name]
    (part,) = parts(make(folder), 1, torch.float32)
    exact = make(folder)
    wide = run(AutogradEngine(exact.module.double(), exact.loss), as_dtype(part, torch.float64)).places
    ours, theirs = (
        run(make_engine(workload.module, workload.loss), part).places
        for make_engine, workload in ((ManualEngine, make(folder)), (AutogradEngine, make(folder)))
    )
    assert beyond(1.0, excesses(ours, theirs, wide)) == {}


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_initial_weights_depend_on_the_seed_alone(folder: Path, name: str) -> None:
    def weights() -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in make(folder).module.parameters()])

    make, _ = WORKLOADS[name]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = weights()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(weights(), first)


def test_lenet_s_layers_have_he_s_spread() -> None:
    net = lenet(28, [32, 64], [128], 10, dropout=0.2, seed=0)
    for layer in (net[0], net[3]):
        assert isinstance(layer, nn.Conv2d)
        spread = (2 / (layer.in_channels * 25)) ** 0.5
        assert abs(float(layer.weight.detach().std()) - spread) < 0.1 * spread
        assert not layer.bias.any()


def test_a_folder_s_test_split_is_its_own_and_the_validation_is_cut_from_training(folder: Path) -> None:
    for workload, sizes in (
        (digits(folder), {"train": 60, "test": 20}),
        (fashion(folder), {"train": 60, "test": 20}),
        (fashion(folder, held_out=True), {"train": 50, "validation": 10, "test": 20}),
    ):
        assert {name: len(split) for name, split in workload.splits.items()} == sizes
        assert len(workload.training) == sizes["train"]
        (pictures,), labels = workload.splits["test"].batch(np.arange(20), np.empty((20, 0)))
        assert pictures.shape == (20, 1, 28, 28)
        assert labels.tolist() == idx_files.labels(20).tolist()


def test_evaluation_sees_clothing_as_it_is(folder: Path) -> None:
    workload = fashion(folder)
    assert (workload.training.draws, workload.splits["train"].draws, workload.min_part) == (3, 0, 2)
    stays = np.array([[0.5, 0.5, 0.9]])
    moved, plain = (split.batch(np.arange(1), draws)[0][0] for split, draws in (
        (workload.training, stays), (workload.splits["train"], np.empty((1, 0)))))  # fmt: skip
    assert torch.equal(moved, plain)
