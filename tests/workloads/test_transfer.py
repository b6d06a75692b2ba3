"""EfficientNet-Lite0 on a few pictures: held to a twin in plain torch, frozen as asked, from checked weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distbp import config, job
from distbp.comm.local import LocalCommunicator
from distbp.data.class_folders import ClassFolder
from distbp.data.few_pictures import few
from distbp.data.loader import Loader
from distbp.data.part import Part
from distbp.data.sources import fetch
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError
from distbp.training.groups import Groups
from distbp.workloads import beginnings
from distbp.workloads.base import Workload
from distbp.workloads.efficientnet import EfficientNet, Stage, lite
from distbp.workloads.transfer import transfer
from tests.data import picture_folders
from tests.engines.agreement import as_dtype, beyond, excesses
from tests.workloads import efficientnet_twin, wide

NARROW = (Stage(1, 3, 1, 1, 6), Stage(2, 5, 2, 6, 8), Stage(2, 3, 2, 3, 8))
STRIDES = [(stage.blocks, stage.stride) for stage in NARROW]
FROZEN = [None, "norms", "body"]
LR, BATCH = 0.02, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folders.write(tmp_path_factory.mktemp("few") / "pictures")


def made(path: Path, **others: Any) -> Workload:
    settings = {
        "weights": None, "frozen": None, "side": 32, "pictures": None, "held_out": 0, "dropout": 0.2, "padding": 2,
        "readers": 2, "seed": 3,
    }  # fmt: skip
    return transfer(**{**settings, **others}, path=str(path), cache=str(path.parent / "cache"))


def narrow(path: Path, frozen: Any) -> Workload:
    """The same job with a small net."""
    net = lite(3, dropout=efficientnet_twin.DROPOUT, seed=3, stages=NARROW, stem=6, last=16)
    if frozen:
        net.freeze(frozen)
    return replace(made(path), module=net)


def trained_in(module: nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("frozen", FROZEN)
def test_fifty_steps_are_those_of_the_twin(folder: Path, tmp_path: Path, frozen: Any, engine: str) -> None:
    workload = wide.widened(narrow(folder, frozen))
    twin = {name: value.clone() for name, value in workload.module.state_dict().items()}
    chosen, parts = trained_in(workload.module), wide.batches(workload.training, BATCH)
    efficientnet_twin.train(twin, parts, STRIDES, trained=chosen, fixed=frozen is not None, lr=LR)
    ours = wide.trained(workload, engine, tmp_path, batch_size=BATCH, optimizer="sgd", lr=LR, momentum=0.9)
    for name, weight in ours.items():
        if not name.endswith("num_batches_tracked"):
            expected = twin[name].detach()
            torch.testing.assert_close(weight, expected, rtol=0, atol=1e-8, msg=lambda line, at=name: f"{at}: {line}")


def first_part(workload: Workload) -> Part:
    return Loader(workload.training, batch_size=BATCH, shards=1, seed=0, rank=0, size=1, min_part=2).example()


@pytest.mark.parametrize("frozen", FROZEN)
def test_gradients_in_float32_hold_to_the_contract(folder: Path, frozen: Any) -> None:
    part = first_part(made(folder))

    def gradients(engine: str, dtype: torch.dtype) -> dict[str, Tensor]:
        workload = narrow(folder, frozen)
        workload.module.to(dtype)
        return wide.gradients(workload, engine, as_dtype(part, dtype))

    exact = gradients("autograd", torch.float64)
    ours, theirs = gradients("manual", torch.float32), gradients("autograd", torch.float32)
    # A 1x1 convolution and the batch's norm come next, and take away again what a bias adds: its gradient is zero.
    assert beyond(1.0, excesses(ours, theirs, exact, vanishing=("bn2.bias",))) == {}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("cache")
    fetch("efficientnet_lite0", folder, print)
    return str(folder)


def test_the_published_weights_have_a_place_each_and_give_the_twin_s_scores(cache: str) -> None:
    net = lite(1000, dropout=0.2, seed=0).eval()
    found = torch.load(fetch("efficientnet_lite0", cache, print), weights_only=True)
    assert len(found) == len(net.state_dict()) == 296
    assert sum(p.numel() for p in net.parameters()) == 4_652_008
    net.load_state_dict(dict(zip(net.state_dict(), found.values(), strict=True)))
    for side in (64, 75):
        pictures = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            told = efficientnet_twin.scores(
                net.state_dict(), pictures, efficientnet_twin.LITE0, fixed=True, dropout=0.0
            )
            torch.testing.assert_close(net(pictures), told, rtol=1e-4, atol=1e-4)


def test_imagenet_s_weights_fill_all_but_the_last_layer(cache: str) -> None:
    net, own = lite(7, dropout=0.2, seed=1), lite(7, dropout=0.2, seed=1)
    beginnings.begin(net, "imagenet", cache)
    found = torch.load(fetch("efficientnet_lite0", cache, print), weights_only=True)
    for (name, value), published in zip(net.state_dict().items(), found.values(), strict=True):
        assert torch.equal(value, own.state_dict()[name] if name.startswith("fc.") else published), name


def test_frozen_batch_norms_are_in_evaluation_mode_whatever_the_net_is_in() -> None:
    net = lite(3, dropout=0.2, seed=0, stages=NARROW, stem=6, last=16)

    def norms() -> set[bool]:
        return {layer.training for layer in net.train().modules() if isinstance(layer, nn.BatchNorm2d)}

    assert norms() == {True}
    net.freeze("norms")
    assert norms() == {False}
    assert net.training
    assert {name.split(".")[-2][:2] for name in set(dict(net.named_parameters())) - set(trained_in(net))} == {"bn"}
    net.freeze("body")
    assert trained_in(net) == ["fc.weight", "fc.bias"]


def test_nothing_flows_back_through_a_frozen_body(folder: Path) -> None:
    workload = narrow(folder, "body")
    engine = ManualEngine(workload.module, workload.loss)
    engine.prepare(first_part(workload))
    assert {*engine.emissions} == {"fc.weight", "fc.bias"}
    assert "relu6" in engine.source or "hardtanh" in engine.source
    assert not any(word in engine.source for word in ("convolution_backward", "hardtanh_backward"))


def test_a_run_leaves_what_is_frozen_and_the_next_begins_with_its_weights(folder: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    request = config.request(
        "workload=vision/transfer", f"data.path={folder}", f"data.cache={folder.parent / 'cache'}", "workload.side=32",
        "workload.weights=null", "batch_size=12", "steps=2", "evaluate.every=never", f"run_dir={tmp_path / 'run'}",
    )  # fmt: skip
    job.train(request, LocalCommunicator(), Console(quiet=True))
    saved = tmp_path / "run/checkpoints/step-00000002/model.safetensors"
    found, initial = load_file(saved), lite(3, dropout=0.2, seed=0).state_dict()
    assert {name for name in initial if not torch.equal(initial[name], found[name])} == {"fc.weight", "fc.bias"}
    begun = made(folder, weights=str(saved), seed=9).module.state_dict()
    assert all(torch.equal(begun[name], value) for name, value in found.items())


def test_the_groups_of_the_named_run_cover_the_net() -> None:
    rates = config.request("experiment=vision/transfer_tuned").groups.rates
    assert rates
    net = lite(10, dropout=0.2, seed=0)
    net.freeze("norms")
    groups = Groups(rates=rates)
    groups.refuse_idle(trained_in(net))
    found = {name: groups.of(name, parameter).rate for name, parameter in net.named_parameters()}
    order = [
        found[name] for name in ("conv_stem.weight", "blocks.9.expand_conv.weight", "blocks.10.expand_conv.weight")
    ]
    assert order[0] == order[1] < order[2] < found["fc.weight"]


def test_the_few_pictures_are_the_first_of_each_class_whatever_the_seed(folder: Path) -> None:
    one, other = made(folder, pictures=3, held_out=4), made(folder, pictures=3, held_out=4, seed=8)
    assert {name: len(split) for name, split in one.splits.items()} == {"train": 9, "val": 12, "validation": 12}
    names = [f"{label}/{number:03}" for label in picture_folders.CLASSES for number in range(3)]
    assert [Path(name).with_suffix("").as_posix() for name in one.training.folder.files] == names  # type: ignore[attr-defined]
    assert one.training.folder.files == other.training.folder.files  # type: ignore[attr-defined]
    assert not {*one.training.folder.files} & {*one.splits["validation"].folder.files}  # type: ignore[attr-defined]
    everything = made(folder, held_out=2)
    assert len(everything.training) == 18


def test_a_class_that_has_too_few_pictures_is_refused() -> None:
    classes = ClassFolder(Path("x"), ["ant", "bee"], [f"{n}.png" for n in range(5)], np.array([0, 0, 0, 1, 1]))
    with pytest.raises(RequestError, match=r"held_out=2: fewer than the 2 pictures of the class bee"):
        few(classes, 4, 2)


def other_classes(path: Path) -> None:
    save_file(dict(lite(4, dropout=0.0, seed=0).state_dict()), path)


def no_number(path: Path) -> None:
    weights = dict(lite(3, dropout=0.0, seed=0).state_dict())
    weights["blocks.3.bn1.weight"] = torch.full_like(weights["blocks.3.bn1.weight"], torch.nan)
    save_file(weights, path)


def a_pickle(path: Path) -> None:
    torch.save(lite(3, dropout=0.0, seed=0).state_dict(), path)


def cut_short(path: Path) -> None:
    other_classes(path)
    path.write_bytes(path.read_bytes()[:100_000])


def halves(path: Path) -> None:
    save_file({name: value.half() for name, value in lite(3, dropout=0.0, seed=0).state_dict().items()}, path)


def one_more(path: Path) -> None:
    save_file(dict(lite(3, dropout=0.0, seed=0).state_dict()) | {"more": torch.zeros(1)}, path)


def too_large(path: Path) -> None:
    save_file({"fc.weight": torch.zeros(2**23)}, path)


@pytest.mark.parametrize(
    ("write", "wrong"),
    [
        (lambda _: None, "there is no such file; imagenet, null or"),
        (Path.mkdir, "there is no such file"),
        (Path.touch, "it does not load"),
        (a_pickle, "it does not load"),
        (cut_short, "it does not load"),
        (too_large, "the net has no more than"),
        (no_number, "blocks.3.bn1.weight has numbers that are none"),
        (other_classes, r"fc.weight is float32 \(4, 1280\) there, and float32 \(3, 1280\) in the net"),
        (halves, "conv_stem.weight is float16"),
        (one_more, r"more is float32 \(1,\) there, and missing in the net"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, write: Callable[[Path], object], wrong: str) -> None:
    path = tmp_path / "model.safetensors"
    write(path)
    net: EfficientNet = lite(3, dropout=0.0, seed=0)
    with pytest.raises(RequestError, match=wrong) as caught:
        beginnings.begin(net, str(path), "unused")
    assert caught.value.key == "workload.weights"
    assert "\n" not in str(caught.value)


def test_pictures_of_fewer_pixels_than_the_net_takes_are_refused(folder: Path) -> None:
    with pytest.raises(RequestError) as caught:
        made(folder, side=31)
    assert caught.value.key == "workload.side"
