"""What a text says, as one of some classes: a recurrent net with attention, or a transformer's encoder.

N texts, K classes.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from distbp.bounds import Fraction, PositiveInt
from distbp.data import order
from distbp.data.clothing import read_clothing
from distbp.data.labelled import read_labelled
from distbp.data.padded import Padded
from distbp.data.sources import fetch
from distbp.data.stratified import stratified
from distbp.data.vocabulary import Vocabulary
from distbp.errors import RequestError
from distbp.workloads.announce import announce
from distbp.workloads.area import area
from distbp.workloads.base import Workload, means_alone
from distbp.workloads.pictures import accuracy, cross_entropy
from distbp.workloads.reader import Encoder, Recurrent, initialise_encoder, initialise_recurrent


def classifier(
    *,
    model: Literal["recurrent", "encoder"],
    least: PositiveInt,
    longest: PositiveInt,
    width: PositiveInt,
    hidden: PositiveInt,
    layers: PositiveInt,
    heads: PositiveInt,
    dropout: Fraction,
    held_out: bool,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """A reader of the texts of ``path``, or of reviews of clothing, fetched once: are they recommendations?

    Of each class a fifth is for the test. With ``held_out`` a fifth of the others is kept from training, and is the
    split ``validation``: recipes are chosen there. Tokens that the training texts have fewer than ``least`` times are
    ``<unk>``. ``seed`` is of the weights.
    """
    if model == "encoder" and width % heads:
        raise RequestError("workload.heads", heads, f"a divisor of workload.width={width} is allowed")
    data = read_labelled(path) if path else read_clothing(fetch("clothing", cache, announce))
    samples = dict(zip(("train", "test"), stratified(data.labels), strict=True))
    if held_out:
        kept, validation = stratified(data.labels[samples["train"]])
        samples |= {"train": samples["train"][kept], "validation": samples["train"][validation]}
    vocabulary = Vocabulary("\n".join(data.texts[i] for i in samples["train"]), "tokens", least=least)
    splits = {
        name: Padded([vocabulary.encode(data.texts[i]) for i in chosen], data.labels[chosen], longest)
        for name, chosen in samples.items()
    }
    sizes = {"vocabulary": len(vocabulary), "width": width, "classes": len(data.classes)}
    generator = torch.Generator().manual_seed(order.key(seed))
    with torch.random.fork_rng(devices=[]):  # the draws of the constructors are overwritten
        module: nn.Module
        if model == "recurrent":
            module = Recurrent(**sizes, hidden=hidden, dropout=dropout)
            initialise_recurrent(module, generator)
        else:
            module = Encoder(**sizes, heads=heads, layers=layers, dropout=dropout)
            initialise_encoder(module, generator)
    two = len(data.classes) == 2
    return Workload(
        module=module,
        loss=cross_entropy,
        metrics=accuracy,
        training=splits["train"],
        splits=splits,
        scores=margin if two else None,
        summary=with_area if two else means_alone,
        names=(vocabulary.symbols, data.classes),
    )


def margin(output: Tensor, target: Tensor) -> Tensor:
    """By how much the second class scores above the first, and the label, of each text.   (N, 2), (N) -> (N, 2)."""
    return torch.stack([output[:, 1] - output[:, 0], target], dim=1)


def with_area(means: Mapping[str, float], scores: Tensor) -> dict[str, float]:
    """The means, and the area under the curve of the second class."""
    return {**means, "auc": area(*scores.T)}
