"""Language models: what a text's next unit is, given those before.

N sequences, T units of each, V units in all.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from distbp.bounds import Fraction, PositiveInt
from distbp.data import order
from distbp.data.cut import cut
from distbp.data.sources import fetch
from distbp.data.text import read_king_james, read_text
from distbp.data.vocabulary import Unit, Vocabulary
from distbp.data.windows import IGNORED, Windows
from distbp.errors import RequestError
from distbp.workloads.announce import announce
from distbp.workloads.base import Workload
from distbp.workloads.transformer import Transformer, initialise

TREEBANK = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")


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
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """A GPT on the text of ``path``, on Penn Treebank's three files in that folder, or on the King James Bible.

    Units that the training text has fewer than ``least`` times are ``<unk>``. ``seed`` is of the weights.
    """
    if width % heads:
        raise RequestError("workload.heads", heads, f"a divisor of workload.width={width} is allowed")
    texts = parts(path, cache)
    vocabulary = Vocabulary(texts[0], unit, least=least)
    codes = [vocabulary.encode(text) for text in texts]
    for name, found in zip(("train", "valid", "test"), codes, strict=True):
        if len(found) <= context:
            short = f"{len(found)} {unit} for the split {name}, more than workload.context={context} are needed"
            raise RequestError("data.path", path, short)
    with torch.random.fork_rng(devices=[]):  # the draws of the constructors are overwritten
        module = Transformer(
            vocabulary=len(vocabulary),
            context=context,
            width=width,
            heads=heads,
            layers=layers,
            dropout=dropout,
            tied=tied,
        )
    initialise(module, torch.Generator().manual_seed(order.key(seed)))
    training, *held_out = (Windows(found, context, moving=number == 0) for number, found in enumerate(codes))
    return Workload(
        module=module,
        loss=next_unit,
        metrics=lambda _output, _target: {},
        training=training,
        splits=dict(zip(("valid", "test"), held_out, strict=True)),
        summary=perplexity,
    )


def parts(path: str | None, cache: str) -> tuple[str, str, str]:
    """The texts for training, validation and testing."""
    if path is None:
        return cut(read_king_james(fetch("kjv", cache, announce)))
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return cut(read_text(folder))
    training, valid, test = (read_text(folder / name) for name in TREEBANK)
    return training, valid, test


def next_unit(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``-sum log softmax(output)[target]`` over the places that have a target, and their number.

    (N, T, V), (N, T) -> (), ().
    """
    rows, labels = output.flatten(0, -2), target.flatten()
    return F.cross_entropy(rows, labels, reduction="sum", ignore_index=IGNORED), (labels != IGNORED).sum()


def perplexity(means: Mapping[str, float], _scores: Tensor) -> dict[str, float]:
    """``exp(loss)``, and the loss in bits for each unit."""
    return {"loss": means["loss"], "perplexity": math.exp(means["loss"]), "bits": means["loss"] / math.log(2)}
