"""The models of the bench, by name, and how one is made: weights and batch from the seed alone."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from distbp.bench.models.case import Case
from distbp.bench.models.convolution import cnn
from distbp.bench.models.factorization import neumf
from distbp.bench.models.perceptron import mlp_large, mlp_small
from distbp.bench.models.recurrent import lstm_lm
from distbp.bench.models.residual import resnet20
from distbp.bench.models.transformer import gpt_small, gpt_vocab

MODELS: Mapping[str, Callable[..., Case]] = {
    "mlp_small": mlp_small,
    "mlp_large": mlp_large,
    "cnn": cnn,
    "resnet20": resnet20,
    "lstm_lm": lstm_lm,
    "gpt_small": gpt_small,
    "gpt_vocab": gpt_vocab,
    "neumf": neumf,
}
"""Each draws from torch's global generator and may be given another size of the batch, ``batch=N``."""


def build(name: str, *, seed: int, batch: int | None = None) -> Case:
    """The case of this name; the global generator is left as it was."""
    size = {} if batch is None else {"batch": batch}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](**size)


def build_for(rank: int, name: str, *, seed: int, batch: int | None = None) -> Case:
    """The case of one worker among several: every worker's weights are the same, and its batch is its own."""
    case, own = build(name, seed=seed, batch=batch), build(name, seed=seed + rank, batch=batch)
    return replace(case, inputs=own.inputs, target=own.target)
