"""A checkpoint that was committed is never lost, whatever befalls the writer, the disk, or the files."""

import errno
import json
import os
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file

from distbp import config, job
from distbp.comm import threads
from distbp.errors import JobError
from distbp.training import tensor_file
from distbp.training.checkpoint import Checkpoint, save
from distbp.training.shelf import keep_newest, newest_good, tidy
from tests.training.test_checkpoint import SILENT, flip
from tests.training.writer_faults import Fault, calls_of, copied, killed

CONFIG = {"overrides": [], "shards": 1, "threads": 1, "optimizer": {}}
KILLS, MANY_KILLS = 20, 500
MUTATIONS, MANY_MUTATIONS = 100, 2000


def example(step, run=0):
    draws = torch.Generator().manual_seed(1000 * run + step)
    model = {name: torch.randn(4, 3, generator=draws) for name in ("a", "b")} | {"n": torch.tensor(step)}
    state = {"exp_avg/a": torch.randn(4, 3, generator=draws), "step/": torch.tensor(float(step))}
    return Checkpoint(step=step, epoch=0, batch=step, config=CONFIG, model=model, optimizer=state)


def same(found, expected):
    parts = ((getattr(found, part), getattr(expected, part)) for part in ("model", "optimizer"))
    return all(x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in parts)


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def step_6(folder):
    save(example(6), folder)
    keep_newest(1, folder)


@pytest.fixture
def shelf(tmp_path):
    """A run with a checkpoint of step 3."""
    folder = tmp_path / "run" / "checkpoints"
    save(example(3), folder)
    return folder


def whole(folder):
    """The step of the newest checkpoint, if it is one that was committed, to the bit."""
    found = newest_good("latest", folder.parent)
    assert not found.refused
    assert same(found.checkpoint, example(found.checkpoint.step))
    return found.checkpoint.step


def survives(shelf, place, number, *, after, share):
    """A kill at the writer's n-th call leaves step 3 or step 6, whole; then the next job saves, and all is tidy."""
    folder = copied(shelf.parent, place) / "checkpoints"
    assert killed(lambda: step_6(folder), number, after=after, share=share)
    step = whole(folder)
    tidy(folder)
    assert not hidden(folder)
    save(example(9), folder)
    assert whole(folder) == 9
    return step


def kills(shelf, tmp_path, trials):
    calls = calls_of(lambda: step_6(copied(shelf.parent, tmp_path / "counted") / "checkpoints"))
    moments = [(number, after) for number in range(calls) for after in (False, True)]
    draws = random.Random(7)
    chosen = [moments[i % len(moments)] for i in range(trials)] if trials > calls else draws.sample(moments, trials)
    return {survives(shelf, tmp_path / "copy", n, after=after, share=draws.random()) for n, after in chosen}


def test_kills_inside_the_writer_lose_nothing(shelf, tmp_path):
    assert kills(shelf, tmp_path, KILLS) == {3, 6}


@pytest.mark.long
def test_many_kills_inside_the_writer_lose_nothing(shelf, tmp_path):
    assert kills(shelf, tmp_path, MANY_KILLS) == {3, 6}


def failing(code):
    raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_fails_at_any_call_loses_nothing(shelf, tmp_path, code):
    calls = calls_of(lambda: step_6(copied(shelf.parent, tmp_path / "counted") / "checkpoints"))
    for number in range(calls):
        folder = copied(shelf.parent, tmp_path / "copy") / "checkpoints"
        with Fault(lambda: failing(code), number).within(), pytest.raises(OSError, match=os.strerror(code)):
            step_6(folder)
        committed = whole(folder) == 6
        assert committed or not hidden(folder)


def train(comm, folder, *overrides):
    torch.set_num_threads(1)
    how = ("engine=autograd", "workload.hidden=[8]", "batch_size=512", "epochs=1", "evaluate.every=never", "shards=2")
    return job.train(config.request(*how, f"run_dir={folder}", *overrides), comm, SILENT)


def test_a_full_disk_ends_the_job_with_one_line(tmp_path):
    """The third file of the second checkpoint does not fit; the first is whole, and the next job goes on from it."""
    folder = tmp_path / "run"
    threads.run(2, train, folder, "steps=2")
    with Fault(lambda: failing(errno.ENOSPC), 12).within(), pytest.raises(JobError) as caught:
        threads.run(2, train, folder, "steps=4", "resume=latest")
    where = folder / "checkpoints"
    cause = f"the checkpoint cannot be written to {where} (No space left on device); those before it are whole"
    assert str(caught.value) == f"rank 0 failed at step 4 in phase checkpoint: {cause}"
    assert [path.name for path in where.iterdir()] == ["step-00000002"]
    threads.run(2, train, folder, "steps=4", "resume=latest")


def exchanged(path, draws):
    """Two tensors change places."""
    tensors = load_file(path / "model.safetensors")
    rewrite(path / "model.safetensors", {**tensors, "a": tensors["b"], "b": tensors["a"]})
    return "model.safetensors", "tensor a "


def foreign(path, draws):
    """One tensor is that of another run."""
    file, name = draws.choice([("model", "a"), ("model", "n"), ("optimizer", "exp_avg/a")])
    other = example(6, run=1) if name != "n" else example(7)
    tensors = load_file(path / f"{file}.safetensors")
    rewrite(path / f"{file}.safetensors", {**tensors, name: getattr(other, file)[name]})
    return f"{file}.safetensors", f"tensor {name} "


def flipped(path, draws):
    """One bit is another; where it is one of a tensor's, which is known."""
    file = draws.choice(["model.safetensors", "optimizer.safetensors", "checkpoint.json"])
    content = bytearray((path / file).read_bytes())
    at = draws.randrange(len(content))
    content[at] ^= 1 << draws.randrange(8)
    (path / file).write_bytes(content)
    begin = int.from_bytes(content[:8], "little") + 8
    return file, "tensor " if file != "checkpoint.json" and begin <= at else ""


def truncated(path, draws):
    file = draws.choice(["model.safetensors", "optimizer.safetensors", "checkpoint.json"])
    content = (path / file).read_bytes()
    (path / file).write_bytes(content[: draws.randrange(len(content))])
    return file, ""


def lengthened(path, draws):
    file = draws.choice(["model.safetensors", "optimizer.safetensors"])
    (path / file).write_bytes((path / file).read_bytes() + draws.randbytes(draws.randint(1, 9)))
    return file, ""


def missing(path, draws):
    file = draws.choice(["model.safetensors", "optimizer.safetensors", "checkpoint.json"])
    (path / file).unlink()
    return file, ""


def of_before(path, draws):
    """The whole of an earlier checkpoint, under the name of a later one."""
    shutil.rmtree(path)
    shutil.copytree(path.with_name("step-00000003"), path)
    return "checkpoint.json", "it is of step 3"


def another_lr(path, draws):
    """The manifest says something else, and is well formed."""
    manifest = json.loads((path / "checkpoint.json").read_text())
    key, value = draws.choice([("step", 7), ("batch", 0), ("config", {**CONFIG, "shards": 2}), ("epoch", 1)])
    (path / "checkpoint.json").write_text(json.dumps({**manifest, key: value}, indent=1))
    return "checkpoint.json", "it is damaged"


def rewrite(path, tensors):
    path.unlink()
    tensor_file.write(path, tensors)


KINDS = (flipped, flipped, flipped, truncated, lengthened, exchanged, foreign, missing, of_before, another_lr)


def mutations(shelf, tmp_path, trials):
    save(example(6), shelf)
    for seed in range(trials):
        draws = random.Random(seed)
        folder = copied(shelf.parent, tmp_path / "copy") / "checkpoints"
        file, tensor = KINDS[seed % len(KINDS)](folder / "step-00000006", draws)
        found = newest_good("latest", folder.parent)
        assert found.checkpoint.step == 3, (seed, file)
        assert same(found.checkpoint, example(3))
        (why,) = found.refused
        assert f"step-00000006/{file}: " in str(why), (seed, file, why)
        assert tensor in why.allowed, (seed, tensor, why)


def test_a_checkpoint_that_was_changed_is_passed_over(shelf, tmp_path):
    mutations(shelf, tmp_path, MUTATIONS)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_changed_checkpoints_are_passed_over(shelf, tmp_path):
    mutations(shelf, tmp_path, MANY_MUTATIONS)


def test_where_none_is_good_the_run_does_not_begin_anew(shelf):
    save(example(6), shelf)
    for path in shelf.iterdir():
        flip(path / "model.safetensors")
    with pytest.raises(ValueError, match=r"none of the 2 checkpoints is good; of the newest, .*step-00000006/model"):
        newest_good("latest", shelf.parent)
