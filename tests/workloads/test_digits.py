"""The default workload: its split, its weights, its sums, and that its samples know nothing of workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distbp.data.loader import Loader
from distbp.errors import RequestError
from distbp.workloads.base import Workload
from distbp.workloads.digits import digits_mlp
from distbp.workloads.perceptron import perceptron
from distbp.workloads.pictures import accuracy, cross_entropy

RECIPE: dict[str, Any] = {
    "hidden": [16, 8],
    "dropout": 0.1,
    "rotation": 15.0,
    "scale": 0.2,
    "shear": 0.2,
    "shift": 2.0,
    "cache": "/nonexistent",
    "seed": 0,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """100 noisy pictures, 10 of each label, of which the first pixel is the row's number."""
    path = tmp_path_factory.mktemp("digits") / "digits.csv"
    pixels = np.random.default_rng(0).integers(0, 256, (100, 784))
    pixels[:, 0] = np.arange(100)
    np.savetxt(path, np.column_stack([pixels, np.arange(100) // 10]), fmt="%d", delimiter=",")
    return str(path)


def workload(table: str, **changes: Any) -> Workload:
    return digits_mlp(**{**RECIPE, "path": table, **changes})


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def rows(workload: Workload, split: str) -> list[int]:
    """The rows of the table that are in a split: each is written in its first pixel."""
    data = workload.splits[split]
    (pictures,), _ = data.batch(np.arange(len(data)), np.empty((len(data), 0)))
    return (pictures[:, 0, 0, 0] * 0.3081 + 0.1307).mul(255).round().int().tolist()


def test_the_splits_are_stratified_and_do_not_depend_on_the_seed(table: str) -> None:
    one, other = workload(table), workload(table, seed=1)
    for split, share in (("train", 8), ("test", 2)):
        assert rows(one, split) == rows(other, split)
        assert np.bincount(np.array(rows(one, split)) // 10).tolist() == [share] * 10
    assert sorted(rows(one, "train") + rows(one, "test")) == list(range(100))
    assert len(one.training) == 80


def test_the_initial_weights_depend_on_the_seed_alone(table: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = weights(workload(table).module)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(weights(workload(table).module), first)
    assert not torch.equal(weights(workload(table, seed=1).module), first)


def test_the_perceptron_is_ordinary_modules_with_he_s_spread() -> None:
    module = perceptron([784, 300, 10], dropout=0.25, seed=0)
    kinds = [type(layer) for layer in module]
    assert kinds == [nn.Flatten, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    for layer, inputs in ((module[1], 784), (module[4], 300)):
        assert abs(float(layer.weight.detach().std()) - (2 / inputs) ** 0.5) < 0.05 * (2 / inputs) ** 0.5
        assert not layer.bias.any()
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in module.parameters())


def test_no_hidden_layer_is_a_linear_classifier(table: str) -> None:
    assert [type(layer) for layer in workload(table, hidden=[]).module] == [nn.Flatten, nn.Linear]


def test_the_loss_and_the_accuracy_are_sums_over_the_examples() -> None:
    output, target = torch.randn(7, 10), torch.arange(7)
    total, count = cross_entropy(output, target)
    torch.testing.assert_close(total / count, F.cross_entropy(output, target))
    assert count == 7
    assert accuracy(torch.eye(10)[[0, 1, 2, 3]], torch.tensor([0, 1, 0, 3]))["accuracy"].item() == 3


def test_evaluation_sees_the_pictures_as_they_are_and_training_distorts_them_anew(table: str) -> None:
    data = workload(table)
    assert (data.training.draws, data.splits["train"].draws, data.splits["test"].draws) == (6, 0, 0)
    samples = np.arange(4)
    (plain,), labels = data.splits["train"].batch(samples, np.empty((4, 0)))
    (first,), same = data.training.batch(samples, np.full((4, 6), 0.1))
    (second,), _ = data.training.batch(samples, np.full((4, 6), 0.9))
    assert torch.equal(labels, same)
    assert plain.shape == first.shape == (4, 1, 28, 28)
    assert not torch.equal(plain, first)
    assert not torch.equal(first, second)


def test_without_distortion_training_sees_the_pictures_as_they_are(table: str) -> None:
    data = workload(table, rotation=0.0, scale=0.0, shear=0.0, shift=0.0)
    samples, none = np.arange(4), np.empty((4, 0))
    assert data.training.draws == 0
    assert torch.equal(data.training.batch(samples, none)[0][0], data.splits["train"].batch(samples, none)[0][0])


def test_a_batch_is_no_view_of_the_data(table: str) -> None:
    split, none = workload(table).splits["test"], np.empty((2, 0))
    (first,), labels = split.batch(np.arange(2), none)
    kept = first.clone(), labels.clone()
    first.zero_()
    labels.zero_()
    (again,), same = split.batch(np.arange(2), none)
    assert torch.equal(again, kept[0])
    assert torch.equal(same, kept[1])


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_parts_of_a_batch_are_bit_by_bit_the_same_on_any_number_of_workers(table: str, size: int) -> None:
    training = workload(table).training

    def parts(rank: int, size: int) -> list[Any]:
        loader = Loader(training, batch_size=32, shards=4, seed=0, rank=rank, size=size)
        return [(batch.step, part) for batch in loader.epoch(1) for part in batch.parts]

    alone = parts(0, 1)
    together = sorted((entry for rank in range(size) for entry in parts(rank, size)), key=lambda e: (e[0], e[1].index))
    assert [(step, part.index, part.draws) for step, part in alone] == [
        (step, part.index, part.draws) for step, part in together
    ]
    for (_, one), (_, other) in zip(alone, together, strict=True):
        assert torch.equal(one.inputs[0], other.inputs[0])
        assert torch.equal(one.target, other.target)


def test_a_bad_table_is_a_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        workload(str(tmp_path / "missing.csv"))
