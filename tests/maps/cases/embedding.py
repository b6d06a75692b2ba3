"""Tables read by row number. V rows, I features, N or NT numbers read.

A row of padding has no gradient, and scale_grad_by_freq divides by counts: neither is the transpose of the derivative,
so the law's numbers avoid the padding (in bags, where padding is left out of y as well, they need not).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps import embedding
from distbp.maps.embedding import MAX, MEAN, SUM
from tests.maps.case import Case, Draw, Sizes

V = 7


def table(sizes: Sizes, generator: Generator) -> Tensor:
    return torch.randn(V, sizes["I"], generator=generator, dtype=torch.float64)


def numbers(letters: str, dtype: torch.dtype = torch.int64, least: int = 0) -> Draw:
    """Rows of the table from ``least`` on."""

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        return torch.randint(least, V, [sizes[letter] for letter in letters], generator=generator).to(dtype)

    return draw


def offsets(last: bool, dtype: torch.dtype = torch.int64) -> Draw:
    """Where N numbers are cut into bags, some of them empty; with ``last``, where the last bag ends as well."""

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        cuts = torch.randint(0, sizes["N"] + 1, (sizes["T"],), generator=generator).sort().values
        ends = [torch.tensor([0]), cuts, *([torch.tensor([sizes["N"]])] if last else [])]
        return torch.cat(ends).to(dtype)

    return draw


def cases() -> Iterator[Case]:
    for letters in ("", "N", "NT", "NTC"):
        yield Case("aten.embedding.default", embedding.Embedding, (table, numbers(letters)))
    yield Case("aten.embedding.default", embedding.Embedding, (table, numbers("NT", torch.int32)))
    yield Case("aten.embedding.default", embedding.Embedding, (table, numbers("NT", least=2)), {"padding_idx": 1})
    for last in (False, True):
        for given in ({}, {"padding_idx": 2}, {"padding_idx": -1}):
            yield from bags(last, given)


def bags(last: bool, given: dict[str, Any]) -> Iterator[Case]:
    shapes = (table, numbers("N"), offsets(last))
    told = {"scale_grad_by_freq": False, "mode": SUM, "sparse": False, "include_last_offset": last, **given}
    op = "aten.embedding_bag.padding_idx" if given else "aten.embedding_bag.default"
    for mode in (SUM, MEAN):
        yield Case(op, embedding.Bags, (*shapes, "-"), {**told, "mode": mode})
    yield Case(op, embedding.Bags, (*shapes, "N"), told)
    yield Case(op, embedding.LargestOfBags, (*shapes, "-"), {**told, "mode": MAX})
    narrow = (table, numbers("N", torch.int32), offsets(last, torch.int32))
    yield Case(op, embedding.Bags, (*narrow, "-"), {**told, "mode": MEAN})
    yield Case(op, embedding.LargestOfBags, (*narrow, "-"), {**told, "mode": MAX})


CASES = list(cases())
