"""Residual networks: of the paper's sizes, held to a twin in plain torch, and fed by folders of pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from distbp.data.loader import Loader
from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError
from distbp.workloads import residual
from distbp.workloads.base import Workload
from distbp.workloads.parts_of_pictures import Drawn, Middle
from distbp.workloads.pictures import top_five
from distbp.workloads.resnet import resnet
from tests.data import picture_folders
from tests.engines.agreement import Run, as_dtype, assert_equal, beyond, excesses, run
from tests.workloads import residual_twin, wide

GREY: dict[str, Any] = {"mean": [0.4], "deviation": [0.2]}
COLOURS: dict[str, Any] = {"mean": [0.4, 0.5, 0.6], "deviation": [0.2, 0.2, 0.3]}
LR, BATCH = 0.02, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folders.write(tmp_path_factory.mktemp("grey") / "pictures")


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folders.write(tmp_path_factory.mktemp("colours") / "pictures", side=40, colours=True)


def job(path: Path, **others: Any) -> Workload:
    settings = {"depth": 20, "side": 8, **GREY, "padding": 1, "readers": 2, "seed": 3}
    return resnet(**{**settings, **others}, path=str(path), cache=str(path.parent / "cache"))


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_fifty_steps_are_those_of_the_twin(folder: Path, tmp_path: Path, engine: str) -> None:
    workload = wide.widened(job(folder))
    twin = residual_twin.twin_of(workload.module, 1, 3)
    whole = (([part], LR) for part in wide.batches(workload.training, BATCH))
    residual_twin.train(twin, whole, weight_decay=1e-4)
    ours = wide.trained(
        workload, engine, tmp_path, batch_size=BATCH, optimizer="sgd", lr=LR, momentum=0.9, weight_decay=1e-4
    )
    for (name, weight), expected in zip(ours.items(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-8, msg=lambda line, name=name: f"{name}: {line}")


def first_part(workload: Workload) -> Part:
    loader = Loader(workload.training, batch_size=BATCH, shards=1, seed=0, rank=0, size=1, min_part=2)
    return next(loader.epoch(0)).parts[0]


def test_gradients_in_float32_hold_to_the_contract(folder: Path) -> None:
    part = first_part(job(folder))

    def gradients(make_engine: Any, dtype: torch.dtype) -> dict[str, Tensor]:
        workload = job(folder)
        return run(make_engine(workload.module.to(dtype), workload.loss), as_dtype(part, dtype)).places

    exact = gradients(AutogradEngine, torch.float64)
    ours, theirs = gradients(ManualEngine, torch.float32), gradients(AutogradEngine, torch.float32)
    assert beyond(1.0, excesses(ours, theirs, exact)) == {}


def test_the_engines_agree_on_bottlenecks(coloured: Path) -> None:
    """In float64: in float32 one ReLU that falls to the other side of zero moves the gradients of 50 layers by 1 %."""
    part = as_dtype(first_part(job(coloured, side=32, **COLOURS)), torch.float64)

    def made(make_engine: Any) -> Run:
        workload = job(coloured, depth=50, side=32, **COLOURS)
        return run(make_engine(workload.module.double(), workload.loss), part)

    assert_equal(made(ManualEngine), made(AutogradEngine))


@pytest.mark.parametrize(
    ("depth", "channels", "classes", "parameters"),
    [
        (20, 3, 10, 269_722), (32, 3, 10, 464_154), (56, 3, 10, 853_018),
        (18, 3, 1000, 11_689_512), (34, 3, 1000, 21_797_672), (50, 3, 1000, 25_557_032),
    ],
)  # fmt: skip
def test_the_nets_have_the_sizes_of_the_paper_s(depth: int, channels: int, classes: int, parameters: int) -> None:
    net = residual.resnet(depth, channels=channels, classes=classes, seed=0)
    assert sum(p.numel() for p in net.parameters()) == parameters
    layers = [name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert sum("downsample" not in name for name in layers) == depth


def test_the_initial_weights_depend_on_the_seed_alone() -> None:
    def weights() -> Tensor:
        return torch.cat(
            [p.detach().flatten() for p in residual.resnet(20, channels=1, classes=3, seed=4).parameters()]
        )

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = weights()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(weights(), first)


def test_the_metrics_count_the_best_class_and_the_best_five() -> None:
    scores = torch.arange(8.0).repeat(8, 1)  # class 7 is the best, then 6, 5, 4, 3
    assert {name: float(n) for name, n in top_five(scores, torch.arange(8)).items()} == {"accuracy": 1, "top5": 5}
    assert {name: float(n) for name, n in top_five(scores, torch.full((8,), 4)).items()} == {"accuracy": 0, "top5": 8}
    few = top_five(scores[:, :3], torch.arange(8) % 3)
    assert (float(few["accuracy"]), float(few["top5"])) == (2, 8)


def batch(workload: Workload, samples: list[int], draws: np.ndarray) -> Tensor:
    (pictures,), _ = workload.training.batch(np.array(samples), draws)
    return pictures


def test_pictures_are_what_the_files_hold(folder: Path) -> None:
    workload = job(folder)
    assert {name: len(split) for name, split in workload.splits.items()} == {"train": 24, "val": 12}
    (pictures,), labels = workload.splits["val"].batch(np.array([0, 4, 11]), np.empty((3, 0)))
    assert labels.tolist() == [0, 1, 2]
    for picture, name in zip(pictures, ("ant/000.png", "bee/000.png", "cat/003.jpg"), strict=True):
        pixels = np.asarray(Image.open(folder / "val" / name), np.float32) / 255
        torch.testing.assert_close(picture[0], torch.from_numpy((pixels - 0.4) / 0.2))


@pytest.mark.parametrize(("padding", "draws"), [(2, 3), (None, 7)])
def test_a_sample_s_draws_alone_say_how_it_looks(coloured: Path, padding: int | None, draws: int) -> None:
    workload = job(coloured, side=32, padding=padding, **COLOURS)
    assert workload.training.draws == draws
    drawn = np.random.default_rng(0).random((5, draws))
    together = batch(workload, [3, 7, 7, 12, 20], drawn)
    assert together.shape == (5, 3, 32, 32)
    for readers in (1, 3):
        alone = job(coloured, side=32, padding=padding, readers=readers, **COLOURS)
        each = [batch(alone, [s], drawn[i : i + 1]) for i, s in enumerate([3, 7, 7, 12, 20])]
        assert torch.equal(together, torch.cat(each))
    assert not torch.equal(together[1], together[2])


def test_parts_that_are_drawn_lie_within_the_picture() -> None:
    random = np.random.default_rng(0)
    ends = [np.zeros(4), np.full(4, 1 - 2**-53)]
    for width, height in ((500, 375), (1, 1), (3, 900)):
        for draws in (*random.random((200, 4)), *ends):
            left, top, right, bottom = Drawn()(width, height, draws)
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
        left, top, right, bottom = Middle()(width, height, np.empty(0))
        assert right - left == pytest.approx(bottom - top)
    boxes = np.array([Drawn()(500, 375, draws) for draws in random.random((4000, 4))])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (500 * 375)
    assert 0.079 < areas.min() < areas.max() <= 1
    assert areas.mean() == pytest.approx(0.54, abs=0.03)


@pytest.mark.parametrize(
    ("others", "key"),
    [
        ({"side": 3}, "workload.side"),
        ({"depth": 18, "side": 31}, "workload.side"),
        ({"mean": [0.1, 0.2], "deviation": [1.0, 1.0]}, "workload.mean"),
        ({"mean": [0.1]} | {"deviation": [1.0, 1.0, 1.0]}, "workload.mean"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder: Path, others: dict[str, Any], key: str) -> None:
    with pytest.raises(RequestError) as caught:
        job(folder, **others)
    assert caught.value.key == key
