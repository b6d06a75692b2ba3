"""The law of the engines on a GPU, and the verbs that run there."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.manual import ManualEngine
from tests.engines.agreement import assert_equal, run
from tests.engines.models import MODELS, Model
from tests.launch.start import DISTBP, Run

if not torch.cuda.is_available():
    pytest.skip("no GPU here", allow_module_level=True)
pytestmark = pytest.mark.gpu
GPU = torch.device("cuda", 0)


def moved(part: Part) -> Part:
    return replace(part, inputs=tuple(x.to(GPU) for x in part.inputs), target=part.target.to(GPU))


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_in_float64_they_are_equal(model: Model) -> None:
    loss = copy.deepcopy(model.loss).to(GPU) if isinstance(model.loss, nn.Module) else model.loss
    part = moved(model.part())
    assert_equal(*(run(kind(model.build().to(GPU), loss), part) for kind in (ManualEngine, AutogradEngine)))


@pytest.mark.parametrize("workload", ["vision/digits_cnn", "nlp/classifier", "recommendation/neumf"])
def test_workloads_are_held_to_the_law(workload: str) -> None:
    done = Run([*DISTBP, "check", f"workload={workload}", "device=cuda"])
    assert done.wait() == 0, done.stderr


def test_the_bench_compares_there(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    words = ["device=cuda", "bench.models=[mlp_small]", "bench.rounds=2", "bench.compile=false", f"output={file}"]
    done = Run([*DISTBP, "bench", "engines", *words])
    assert done.wait() == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures["environment"]["device"] == torch.cuda.get_device_name(GPU)
    (row,) = figures["rows"]
    assert min(row["manual_ms"], row["autograd_ms"], row["memory_bytes"]["manual"]["peak"]) > 0
