"""Smoothed labels and blended samples: torch's own loss, a plain twin's weights, and a sample that is its draws'."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from distbp.data.formats import Digits
from distbp.data.loader import Loader
from distbp.engines.autograd import AutogradEngine
from distbp.engines.manual import ManualEngine
from distbp.workloads.affine import Affine
from distbp.workloads.beta import Beta
from distbp.workloads.digits import SCALE, workload
from distbp.workloads.mixup import Mixed
from distbp.workloads.perceptron import perceptron
from distbp.workloads.pictures import Pictures
from distbp.workloads.soft_labels import SoftCrossEntropy, softened
from tests.engines.agreement import Run

N, BATCH, STEPS, LR, ALPHA, SMOOTHING = 60, 16, 50, 0.01, 0.4, 0.1
RANDOM = np.random.default_rng(0)
DIGITS = Digits(RANDOM.integers(0, 256, (N, 28, 28), dtype=np.uint8), RANDOM.integers(0, 10, N, dtype=np.uint8))
AFFINE = Affine(12.0, 0.15, 0.2, 2.0)


@pytest.mark.parametrize("a", [0.1, 0.2, 0.5, 1.0, 1.5, 4.0, 100.0])
def test_quantiles_are_those_of_scipy(a):
    draws = np.linspace(0, 1, 9999, endpoint=False)
    found, expected = Beta(a).quantiles(draws), stats.beta.ppf(draws, a, a)
    np.testing.assert_allclose(found[1:], expected[1:], atol=3e-4)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.mean() == pytest.approx(0.5, abs=1e-3)


def test_a_sample_is_what_its_draws_say_whatever_it_is_asked_for_with():
    split = Mixed(Pictures(DIGITS, SCALE, AFFINE), ALPHA)
    draws, samples = RANDOM.random((N, split.draws)), RANDOM.permutation(N)
    (pictures,), target = split.batch(samples, draws[samples])
    assert split.pure
    assert split.draws == 2 * AFFINE.draws + 2
    for place in (0, 7, N - 1):
        sample = samples[place : place + 1]
        (alone,), alones = split.batch(sample, draws[sample])
        assert torch.equal(alone[0], pictures[place])
        assert all(torch.equal(mine[0], theirs[place]) for mine, theirs in zip(alones, target, strict=True))
    (own,), labels = split.split.batch(samples, draws[samples, : AFFINE.draws])
    partners = (draws[samples, -2] * N).astype(int)
    (others,), _ = split.split.batch(partners, draws[samples, AFFINE.draws : -2])
    share = target[2].view(-1, 1, 1, 1)
    torch.testing.assert_close(pictures, share * own + (1 - share) * others)
    assert torch.equal(target[0], labels)
    assert torch.equal(target[1], torch.from_numpy(DIGITS.labels[partners].astype(np.int64)))


def test_every_sample_is_some_partner_as_often():
    draws = RANDOM.random((20_000, 2))
    split = Mixed(Pictures(DIGITS, SCALE), ALPHA)
    _, (_, others, share) = split.batch(np.zeros(20_000, np.int64), draws)
    seen = torch.bincount(others, minlength=10) / 20_000
    there = torch.from_numpy(np.bincount(DIGITS.labels, minlength=10) / N)
    torch.testing.assert_close(seen.double(), there, atol=0.015, rtol=0)
    assert stats.kstest(share.double().numpy(), stats.beta(ALPHA, ALPHA).cdf).pvalue > 1e-3


@pytest.mark.parametrize("e", [0.0, 0.1])
def test_the_loss_is_torchs(e):
    output, y, z = torch.randn(7, 5, dtype=torch.float64), torch.randint(5, (7,)), torch.randint(5, (7,))
    share = torch.rand(7, dtype=torch.float64)
    loss = SoftCrossEntropy(e)
    plain, count = loss(output, y)
    assert count == 7
    torch.testing.assert_close(plain, F.cross_entropy(output, y, reduction="sum", label_smoothing=e))
    q = share[:, None] * F.one_hot(y, 5) + (1 - share)[:, None] * F.one_hot(z, 5)
    mixed, _ = loss(output, (y, z, share))
    torch.testing.assert_close(mixed, F.cross_entropy(output, q, reduction="sum", label_smoothing=e))


def parts(split):
    """The first batches, with their pictures in float64."""
    loader = Loader(split, batch_size=BATCH, shards=1, seed=5, rank=0, size=1)
    taken = islice((batch.parts[0] for epoch in range(STEPS) for batch in loader.epoch(epoch)), STEPS)
    return [replace(part, inputs=(part.inputs[0].double(),)) for part in taken]


def twin(module, taken):
    """An ordinary loop: soft targets, torch's loss and tape."""
    weights = [p.detach().clone().requires_grad_() for p in module.parameters()]
    optimizer = torch.optim.SGD(weights, lr=LR, momentum=0.9)
    for part in taken:
        w1, b1, w2, b2 = weights
        y, z, share = part.target
        q = share[:, None] * F.one_hot(y, 10) + (1 - share)[:, None] * F.one_hot(z, 10)
        output = F.linear(F.relu(F.linear(part.inputs[0].flatten(1), w1, b1)), w2, b2)
        optimizer.zero_grad()
        F.cross_entropy(output, q.double(), label_smoothing=SMOOTHING).backward()
        optimizer.step()
    return weights


@pytest.mark.parametrize("make_engine", [ManualEngine, AutogradEngine])
def test_fifty_steps_are_those_of_the_twin(make_engine):
    module = perceptron([784, 16, 10], dropout=0.0, seed=3).double()
    made = softened(workload(module, (DIGITS, DIGITS), AFFINE), label_smoothing=SMOOTHING, mixup=ALPHA)
    taken = parts(made.training)
    expected = twin(module, taken)
    engine = make_engine(module, made.loss)
    engine.prepare(taken[0])
    gradients = Run(engine)
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=0.9)
    for part in taken:
        for weight, gradient in zip(module.parameters(), gradients.over(part).values(), strict=True):
            weight.grad = gradient / len(part)
        optimizer.step()
    for weight, other in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(weight, other, rtol=0, atol=1e-8)


def test_without_either_a_workload_is_as_it_was():
    made = workload(perceptron([784, 10], dropout=0.0, seed=3), (DIGITS, DIGITS), AFFINE)
    assert softened(made, label_smoothing=0.0, mixup=0.0) is made
    assert softened(made, label_smoothing=0.1, mixup=0.0).training is made.training
