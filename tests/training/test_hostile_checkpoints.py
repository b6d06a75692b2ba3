"""Checkpoints and run folders made by somebody who means harm: refused by name, without a line of their code."""

import hashlib
import json
import os
import pickle
import resource
import struct
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm import threads
from distbp.errors import RequestError
from distbp.run_directory import RunDirectory
from distbp.training.checkpoint import load, save
from distbp.training.shelf import newest_good, tidy
from tests.training.test_checkpoint import example

HUGE = 1 << 42  # bytes of a file that takes none of the disk


class Code:
    """What runs when a pickle of it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def pickled_tensors(path, trap):
    (path / "model.safetensors").write_bytes(pickle.dumps(Code(trap)))


def torch_file(path, trap):
    torch.save({"w": Code(trap)}, path / "model.safetensors")


def pickled_manifest(path, trap):
    (path / "checkpoint.json").write_bytes(pickle.dumps(Code(trap)))


def giant_claim(path, trap):
    (path / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")


def giant_header(path, trap):
    """Ninety megabytes of names, which the library would read."""
    header = b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' + b" " * 90_000_000 + b"}"
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def giant_file(path, trap):
    os.truncate(path / "model.safetensors", HUGE)


def giant_manifest(path, trap):
    os.truncate(path / "checkpoint.json", HUGE)


def deep_manifest(path, trap):
    rewrite(path, config={"shards": 1, "threads": 1, "optimizer": {}, "deep": nested(500)})


def deeper_manifest(path, trap):
    (path / "checkpoint.json").write_text("[" * 100_000)


def file_elsewhere(path, trap):
    rewrite(path, sha256={"model": {}, "optimizer": {}, "../../../elsewhere": {}})


def linked_tensors(path, trap):
    (path / "model.safetensors").rename(path / "other")
    (path / "model.safetensors").symlink_to("other")


def linked_manifest(path, trap):
    (path / "checkpoint.json").rename(path / "other")
    (path / "checkpoint.json").symlink_to("other")


def pipe(path, trap):
    (path / "model.safetensors").unlink()
    os.mkfifo(path / "model.safetensors")


def step_beyond_numbers(path, trap):
    text = (path / "checkpoint.json").read_text()
    (path / "checkpoint.json").write_text(text.replace('"step": 3', '"step": 1' + "0" * 5000))


def shards_that_are_text(path, trap):
    rewrite(path, config={"shards": "many", "threads": 1, "optimizer": {}})


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def rewrite(path, **changes):
    """The manifest, with a right checksum of its own: who writes it can do that."""
    manifest = json.loads((path / "checkpoint.json").read_text()) | changes
    manifest.pop("own_sha256")
    own = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (path / "checkpoint.json").write_text(json.dumps(manifest | {"own_sha256": own}))


HOSTILE = {
    pickled_tensors: "model.safetensors: (it does not load|its header claims)",
    torch_file: "model.safetensors: (it does not load|its header claims)",
    pickled_manifest: "checkpoint.json: it is not JSON",
    giant_claim: "model.safetensors: its header claims 1,099,511,627,776 bytes",
    giant_header: "model.safetensors: its header claims 90,0",
    giant_file: "model.safetensors: it has 4,398,046,511,104 bytes, and this machine",
    giant_manifest: "checkpoint.json: it has more than",
    deep_manifest: "checkpoint.json: it is nested more than 32 deep",
    deeper_manifest: "checkpoint.json: it is not JSON",
    file_elsewhere: "checkpoint.json: it is not a checkpoint of format",
    linked_tensors: "model.safetensors: a plain file is needed",
    linked_manifest: "checkpoint.json: a plain file is needed",
    pipe: "model.safetensors: a plain file is needed",
    step_beyond_numbers: "checkpoint.json: it is not JSON",
    shards_that_are_text: "checkpoint.json: it is not a checkpoint of format",
}


@pytest.mark.parametrize(("harm", "message"), HOSTILE.items(), ids=[harm.__name__ for harm in HOSTILE])
def test_a_hostile_checkpoint_is_refused_and_runs_nothing(tmp_path, harm, message):
    path, trap = save(example(), tmp_path / "run" / "checkpoints"), tmp_path / "trap"
    harm(path, trap)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RequestError, match=message) as caught:
        newest_good("latest", tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 1
    assert not trap.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def train(comm, folder, *overrides):
    how = ("engine=autograd", "workload.hidden=[8]", "batch_size=512", "epochs=1", "evaluate.every=never")
    overrides = overrides if any(word.startswith("steps=") for word in overrides) else (*overrides, "steps=2")
    return job.train(config.request(*how, f"run_dir={folder}", *overrides), comm, Console(quiet=True))


@pytest.mark.parametrize("key", ["workload", "optimizer", "schedule"])
def test_what_a_checkpoint_says_is_never_called(tmp_path, key):
    """Not even where the user lets that key differ."""
    folder, trap = tmp_path / "run", tmp_path / "trap"
    threads.run(1, train, folder)
    path = folder / "checkpoints" / "step-00000002"
    kept = json.loads((path / "checkpoint.json").read_text())["config"]
    rewrite(path, config={**kept, key: {"_target_": "os.system", "command": f"touch {trap}", "name": "other"}})
    with pytest.raises(RequestError, match=rf"{key}\._target_=distbp.*it was os\.system"):
        threads.run(1, train, folder, "resume=latest")
    threads.run(1, train, folder, "resume=latest", f"resume_allow=[{key}]")
    assert not trap.exists()


STATES = {
    "of another shape": {"exp_avg/1.weight": torch.ones(2)},
    "of another kind": {"what/": torch.ones(1), "x": torch.ones(1)},
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_state_that_fits_no_optimizer_is_refused(tmp_path, state):
    folder = tmp_path / "run"
    threads.run(1, train, folder)
    (path,) = (folder / "checkpoints").iterdir()
    forged = save(replace(load(path), optimizer=state), tmp_path / "forged")
    with pytest.raises(RequestError, match="its optimizer's state does not fit"):
        threads.run(1, train, tmp_path / "new", f"resume={forged}", "steps=4")


@pytest.mark.parametrize("name", ["checkpoints", "metrics.jsonl", "config.yaml", "result.json", ".lock"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    outside, folder = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    folder.mkdir()
    (folder / name).symlink_to(outside / "file")
    for overrides in ((), ("resume=latest",)):
        with pytest.raises(RequestError, match=f"{name} in it is a link"):
            threads.run(1, train, folder, *overrides)
    assert not list(outside.iterdir())


def test_a_link_in_the_place_of_a_checkpoint_is_none_and_goes(tmp_path):
    folder, outside = tmp_path / "run" / "checkpoints", tmp_path / "outside"
    save(example(), folder)
    kept = save(example(9), outside)
    (folder / "step-00000009").symlink_to(kept)
    (folder / ".step-00000009.12").symlink_to(kept)
    assert newest_good("latest", folder.parent).checkpoint.step == 3
    tidy(folder)
    assert [path.name for path in folder.iterdir()] == ["step-00000003"]
    assert load(kept).step == 9


def test_a_refused_request_leaves_the_folder_as_it_was(tmp_path):
    with pytest.raises(RequestError, match=r"evaluate\.split"):
        threads.run(1, train, tmp_path / "some" / "where", "evaluate.split=none")
    assert not list(tmp_path.iterdir())
    RunDirectory(config.request(f"run_dir={tmp_path / 'run'}"))
