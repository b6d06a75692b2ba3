"""The range test: rates that rise evenly, an end where the loss bursts, and the same proposal from any workers."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra.types import RunMode
from rich.console import Console

from distbp import config
from distbp.comm import threads
from distbp.errors import JobError, RequestError
from distbp.finding import find_lr
from distbp.schema import from_config
from distbp.training.range_test import BURST, MARGIN, SMOOTH, Curve, rising

CONF = str(Path(__file__).parents[1] / "faults" / "conf")


def test_rates_rise_by_equal_factors():
    schedule = rising(1e-4, 10.0, 5.0)
    assert [10.0 * schedule(float(t), 9.0) for t in range(6)] == pytest.approx([10.0 ** (t - 4) for t in range(6)])


def walked(losses):
    curve = Curve()
    for step, loss in enumerate(losses):
        curve.step(SimpleNamespace(), {"loss": loss, "lr": 10.0**step}, {})
    return curve


def test_a_tenth_of_the_rate_of_the_least_smoothed_loss_is_proposed():
    losses = [5.0, 4.0, 1.0, 1.0, 9.0]
    curve = walked(losses)
    for k in range(len(losses)):
        weights = [SMOOTH ** (k - i) for i in range(k + 1)]
        mean = sum(w * loss for w, loss in zip(weights, losses, strict=False)) / sum(weights)
        assert curve.losses[k] == pytest.approx(mean)
    assert curve.proposal == pytest.approx(10.0 ** curve.losses.index(min(curve.losses)) / MARGIN)
    assert not curve.over


def test_it_is_over_when_the_loss_bursts_or_is_no_number():
    assert walked([1.0, 1.0, 2 * BURST / (1 - SMOOTH)]).over
    curve = walked([1.0])
    curve.skipped(1, "not a number")
    assert curve.over


BELOW = [[1.0, 0.5, 0.1, -0.1, -0.3, -0.6, -1.0], [-1.0, -2.0, -1.5, -3.0], [0.0, -0.01, 0.0]]


@pytest.mark.parametrize("losses", BELOW)
def test_a_loss_below_0_may_fall_on(losses):
    assert not walked(losses).over


def test_a_loss_below_0_may_burst():
    assert walked([-1.0, -1.0, 5 * BURST / (1 - SMOOTH)]).over


def found(comm, *overrides):
    torch.set_num_threads(1)
    words = ["workload=tiny", "workload.pause=0.0", "shards=2", "batch_size=8", "find_lr.steps=60", *overrides]
    loader = config.Loader(config.search_path(CONF))
    request = from_config(config.plain(loader.load_configuration(config.CONFIG, words, RunMode.RUN)), words)
    return find_lr(request, comm, Console(quiet=True))


def test_workers_that_begin_otherwise_are_named():
    with pytest.raises(JobError, match="configuration"):
        threads.run(2, lambda comm: found(comm, f"find_lr.highest={comm.rank + 1}"))


def test_every_worker_finds_what_one_finds(tmp_path, capsys):
    (alone,) = threads.run(1, found, f"output={tmp_path / 'curve.json'}")
    assert json.loads((tmp_path / "curve.json").read_text()) == alone
    assert all(two == alone for two in threads.run(2, found))
    assert f"optimizer.lr={alone['lr']:g}" in capsys.readouterr().out
    assert alone["rates"] == sorted(alone["rates"])


def test_the_proposal_is_what_a_scaled_rate_begins_with():
    """Rates twice as high as they are asked for give the curve of those rates, told as they are asked for."""
    (plain,) = threads.run(1, found, "find_lr.lowest=2e-5", "find_lr.highest=2")
    (scaled,) = threads.run(
        1, found, "find_lr.lowest=1e-5", "find_lr.highest=1", "lr_scaling=linear", "lr_batch_size=4"
    )
    assert scaled["losses"] == plain["losses"]
    assert scaled["rates"] == pytest.approx([rate / 2 for rate in plain["rates"]], rel=1e-12)


def test_it_begins_with_new_weights():
    with pytest.raises(RequestError, match=r"resume=.*: null is allowed"):
        threads.run(1, found, "resume=runs/there")


def test_a_range_that_does_not_rise_is_refused():
    with pytest.raises(RequestError, match=r"find_lr.lowest=1.0: less than find_lr.highest=1 is allowed"):
        threads.run(1, found, "find_lr.lowest=1", "find_lr.highest=1")
