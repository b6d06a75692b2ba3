"""The named runs of docs/workloads.md, whole: on one worker and on two they end with the same weights and figures."""

import json

import pytest

from tests.launch.start import Run, command

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]
NAMED = (
    "vision/digits_mlp", "vision/digits_cnn", "vision/fashion_cnn", "vision/resnet", "vision/transfer_frozen",
    "vision/transfer_tuned", "vision/transfer_scratch", "nlp/lstm_small", "nlp/gpt_small", "nlp/classifier_recurrent",
    "nlp/classifier_encoder", "recommendation/matrix_factorization", "recommendation/neumf", "recommendation/gmf",
    "recommendation/mlp", "recommendation/dlrm",
)  # fmt: skip


def result(folder, experiment, engine, workers):
    """The ``result.json`` of a named run."""
    words = [f"experiment={experiment}", f"engine={engine}", "threads=1", "evaluate.every=never"]
    if experiment == "vision/transfer_tuned":  # it goes on from what another has saved
        result(folder, "vision/transfer_frozen", engine, workers)
        (saved,) = (folder / "vision/transfer_frozen" / str(workers)).glob("checkpoints/*/model.safetensors")
        words.append(f"workload.weights={saved}")
    run_dir = folder / experiment / str(workers)
    run = Run(command("workers", workers, *words, f"run_dir={run_dir}"))
    assert run.wait(timeout=7000) == 0, run.stderr
    return json.loads((run_dir / "result.json").read_text())


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("experiment", NAMED)
def test_a_named_run_ends_alike_on_one_worker_and_on_two(tmp_path, experiment, engine):
    one, two = (result(tmp_path, experiment, engine, workers) for workers in (1, 2))
    for ran in (one, two):
        print(f"\n{experiment} {engine} workers={ran['world_size']}: {ran['weights_sha256'][:8]}", end=" ")
        print(json.dumps(ran["metrics"]), f"{ran['samples_per_second']:.0f} samples/s", json.dumps(ran["step_ms"]))
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["metrics"] == two["metrics"]
