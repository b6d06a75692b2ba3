"""Schedules draw the curves of torch's schedulers, in epochs, whatever the batch size."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from distbp.training import schedules

T = 40
CURVES = {
    "cosine": (schedules.cosine(final=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, T, eta_min=0.1), T),
    "step": (schedules.step(every=7, factor=0.5), lambda o: lr_scheduler.StepLR(o, 7, gamma=0.5), T),
    "linear": (schedules.linear(final=0.2), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, T), T),
    # torch rises in whole steps, the last of which is the top
    "one_cycle": (
        schedules.one_cycle(rise=(0.3 * T - 1) / (T - 1)),
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, T),
        T - 1,
    ),
    "constant": (schedules.constant(), lambda o: lr_scheduler.ConstantLR(o, 1.0), T),
    "inverse_sqrt": (
        schedules.inverse_sqrt(warmup_epochs=5),
        lambda o: lr_scheduler.LambdaLR(o, lambda k: min(k / 5, math.sqrt(5 / max(k, 1)))),
        T,
    ),
    "warm-up": (
        schedules.cosine(warmup_epochs=10),
        lambda o: lr_scheduler.SequentialLR(
            o,
            [lr_scheduler.LambdaLR(o, lambda k: k / 10), lr_scheduler.CosineAnnealingLR(o, T - 10)],
            milestones=[10],
        ),
        T,
    ),
}


@pytest.mark.filterwarnings("ignore:.*scheduler")
@pytest.mark.parametrize("name", CURVES)
def test_a_curve_is_that_of_torch(name):
    ours, make, total = CURVES[name]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    for seen in range(T):
        assert ours(seen, total) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


@given(st.sampled_from(sorted(CURVES)), st.floats(0, T), st.integers(1, 100))
def test_factors_are_of_the_epochs_seen_and_within_bounds(name, seen, scale):
    ours, *_ = CURVES[name]
    assert 0 <= ours(seen, T) <= 1
    assert ours(0.0, T) == ours(0.0, scale * T), "where it begins does not depend on how long it goes on"
