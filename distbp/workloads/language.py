"""Language models: what a text's next unit is, given those before.

N sequences, T units of each, V units in all.
"""

import math
import sys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distbp.bounds import Fraction, NonNegativeInt, Positive, PositiveInt
from distbp.data import order
from distbp.data.streams import Streams
from distbp.data.vocabulary import Unit, Vocabulary
from distbp.data.windows import IGNORED, Windows
from distbp.errors import RequestError
from distbp.workloads.base import Workload
from distbp.workloads.recurrent import Recurrent
from distbp.workloads.sampled import carrying, looking_back, sampled
from distbp.workloads.texts import texts
from distbp.workloads.transformer import Transformer, initialise

HIGHEST = math.log(sys.float_info.max)  # a loss of which exp is still a number


def transformer_lm(
    *,
    unit: Unit,
    least: PositiveInt,
    layers: PositiveInt,
    width: PositiveInt,
    heads: PositiveInt,
    context: PositiveInt,
    dropout: Fraction,
    tied: bool,
    sample: NonNegativeInt,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """A GPT on the text of ``path``, on Penn Treebank's three files in that folder, or on the King James Bible.

    Units that the training text has fewer than ``least`` times are ``<unk>``. ``seed`` is of the weights.
    """
    if width % heads:
        raise RequestError("workload.heads", heads, f"a divisor of workload.width={width} is allowed")
    text = coded(path, cache, unit, least, more_than=("context", context))
    with torch.random.fork_rng(devices=[]):  # the draws of the constructors are overwritten
        module = Transformer(
            vocabulary=len(text.vocabulary),
            context=context,
            width=width,
            heads=heads,
            layers=layers,
            dropout=dropout,
            tied=tied,
        )
    initialise(module, torch.Generator().manual_seed(order.key(seed)))
    return Workload(
        module=module,
        loss=next_unit,
        metrics=lambda _output, _target: {},
        training=Windows(text.training, context, moving=True),
        splits={"valid": Windows(text.valid, context), "test": Windows(text.test, context)},
        summary=perplexity,
        sample=lambda: sampled(looking_back(module), text.vocabulary, units=sample, seed=seed),
        names=(text.vocabulary.symbols,),
    )


def lstm_lm(
    *,
    unit: Unit,
    least: PositiveInt,
    layers: PositiveInt,
    width: PositiveInt,
    streams: PositiveInt,
    length: PositiveInt,
    dropout: Fraction,
    tied: bool,
    spread: Positive,
    sample: NonNegativeInt,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """An LSTM that carries its state through the text of ``path``, that of Penn Treebank's files, or King James'.

    Each text is read as so many ``streams`` side by side, ``length`` units a step (Zaremba et al. 2014).
    """
    text = coded(path, cache, unit, least, more_than=("streams", streams))
    with torch.random.fork_rng(devices=[]):  # the draws of the constructors are overwritten
        module = Recurrent(vocabulary=len(text.vocabulary), width=width, layers=layers, dropout=dropout, tied=tied)
    module.initialise(torch.Generator().manual_seed(order.key(seed)), spread)
    training, valid, test = (Streams(torch.from_numpy(codes), streams, length) for codes in text.codes)
    return Workload(
        module=module,
        loss=next_unit,
        metrics=lambda _output, _target: {},
        training=training,
        splits={"valid": valid, "test": test},
        summary=perplexity,
        start=Recurrent.begin,
        sample=lambda: sampled(carrying(module), text.vocabulary, units=sample, seed=seed),
        names=(text.vocabulary.symbols,),
    )


class Coded(NamedTuple):
    """A text's units by number, (n) int64 each, and what the numbers mean."""

    vocabulary: Vocabulary
    training: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @property
    def codes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All three."""
        return self.training, self.valid, self.test


def coded(path: str | None, cache: str, unit: Unit, least: int, *, more_than: tuple[str, int]) -> Coded:
    """The three texts of ``path``. RequestError where one does not have more units than the setting ``more_than``."""
    found = texts(path, cache)
    vocabulary = Vocabulary(found[0], unit, least=least)
    key, needed = more_than
    codes = [vocabulary.encode(text) for text in found]
    for name, units in zip(("train", "valid", "test"), codes, strict=True):
        if len(units) <= needed:
            short = f"{len(units)} {unit} for the split {name}, more than workload.{key}={needed} are needed"
            raise RequestError("data.path", path, short)
    return Coded(vocabulary, *codes)


def next_unit(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``-sum log softmax(output)[target]`` over the places that have a target, and their number.

    (N, T, V), (N, T) -> (), ().
    """
    rows, labels = output.flatten(0, -2), target.flatten()
    return F.cross_entropy(rows, labels, reduction="sum", ignore_index=IGNORED), (labels != IGNORED).sum()


def perplexity(means: Mapping[str, float], _scores: Tensor) -> dict[str, float]:
    """``exp(loss)``, and the loss in bits for each unit."""
    loss = means["loss"]
    return {"loss": loss, "perplexity": math.inf if loss > HIGHEST else math.exp(loss), "bits": loss / math.log(2)}
