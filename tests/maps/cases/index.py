"""Calls of the maps that read and write elements by number, take sections, and pad."""

from collections.abc import Iterator

import torch

from distbp.maps import index, pad, scattered, section
from tests.maps.case import Case, Draw, Sizes
from tests.maps.cases.choice import mask


def below(letter: str, shape: str, *, negative: bool = False) -> Draw:
    """Numbers below a size, or from its negative on; they may occur twice."""

    def draw(sizes: Sizes, generator: torch.Generator) -> torch.Tensor:
        low = -sizes[letter] if negative else 0
        return torch.randint(low, sizes[letter], [sizes.get(n, 1) for n in shape], generator=generator)

    return draw


def once(letter: str, shape: str) -> Draw:
    """Numbers below a size along the last dimension, none twice; ``shape`` ends in that size or in 1."""

    def draw(sizes: Sizes, generator: torch.Generator) -> torch.Tensor:
        dims = [sizes.get(n, 1) for n in shape]
        return torch.rand(*dims[:-1], sizes[letter], generator=generator).argsort(-1)[..., : dims[-1]]

    return draw


def _read() -> Iterator[Case]:
    n, i, t = (below(letter, "O", negative=True) for letter in "NIT")
    for x, indices in (
        ("NI", (n,)),
        ("NI", ("-", i)),
        ("NI", (n, i)),
        ("NTI", (n, "-", i)),
        ("NTI", ("-", t, i)),
        ("NTI", (below("N", "CO"), below("T", "O"))),
        ("NTI", ("-", below("T", "CO"))),
        ("NTI", (n, t, i)),
    ):
        yield Case("aten.index.Tensor", index.Index, (x, indices))
    for dim, letter in ((0, "N"), (1, "T"), (-1, "I")):
        yield Case("aten.index_select.default", index.IndexSelect, ("NTI", below(letter, "C")), {"dim": dim})
    yield Case("aten.gather.default", index.Gather, ("NI", below("I", "NT")), {"dim": 1})
    yield Case("aten.gather.default", index.Gather, ("NI", below("I", "N1")), {"dim": -1})
    yield Case("aten.gather.default", index.Gather, ("TNI", below("T", "CNI")), {"dim": 0})
    for x, i in (("NI", below("I", "NT")), ("NI", below("I", "1T")), ("1I", below("I", "NT"))):
        yield Case("aten.take_along_dim.default", index.TakeAlong, (x, i), {"dim": 1})
    yield Case("aten.take_along_dim.default", index.TakeAlong, ("NI", below("I", "T")))


def _write() -> Iterator[Case]:
    for i, shape in ((once("I", "NI"), "NI"), (once("I", "N1"), "N1")):
        yield Case("aten.scatter.src", index.Scatter, ("NI", i, shape), {"dim": 1})
    yield Case("aten.scatter.value", index.ScatterNumber, ("NI", below("I", "NT")), {"dim": 1, "value": 2.5})
    yield Case("aten.scatter_add.default", index.ScatterAdd, ("NI", below("I", "NT"), "NT"), {"dim": 1})
    for alpha in (1, 2.5):
        told = {"dim": 1, "alpha": alpha}
        yield Case("aten.index_add.default", index.IndexAdd, ("NTI", below("T", "C"), "NCI"), told)
    yield Case("aten.index_put.default", index.IndexPut, ("TNI", ("-", once("N", "N")), "TNI"))
    for value in ("NI", "I", "()"):
        yield Case("aten.index_put.default", index.IndexPut, ("NI", (once("N", "N"),), value))
    put = ("NI", (below("N", "T"), below("I", "T")), "T")
    yield Case("aten.index_put.default", index.IndexPut, put, {"accumulate": True})
    for letters in ("N", "NI"):
        yield Case("aten.index_put.default", index.MaskPut, ("NI", (mask(letters),), "()"))


def _reduce() -> Iterator[Case]:
    for reduce, rule in (
        ("sum", scattered.ScatterSum),
        ("mean", scattered.ScatterMean),
        ("amax", scattered.ScatterExtreme),
        ("amin", scattered.ScatterExtreme),
    ):
        for own in (True, False):
            told = {"reduce": reduce, "include_self": own}
            yield Case("aten.scatter_reduce.two", rule, ("NI", below("I", "NT"), "NT"), {"dim": 1, **told})
            yield Case("aten.scatter_reduce.two", rule, ("TNI", below("T", "CNI"), "CNI"), {"dim": 0, **told})


def _sections() -> Iterator[Case]:
    for told in (
        {"start": 1},
        {"end": -1},
        {"dim": 1, "step": 2},
        {"dim": -1, "start": -3, "end": 9223372036854775807},
    ):
        yield Case("aten.slice.Tensor", section.Slice, ("NI",), told)
    yield Case(
        "aten.slice_scatter.default", section.SliceScatter, ("NI", "NT"), {"dim": 1, "end": lambda s: s["T"]}, {"I": 6}
    )
    told = {"dim": 1, "start": 1, "end": 6, "step": 2}
    yield Case("aten.slice_scatter.default", section.SliceScatter, ("NI", "NT"), told, {"I": 6, "T": 3})
    for start in (0, 1, -2):
        yield Case("aten.narrow.default", section.Narrow, ("NI",), {"dim": 1, "start": start, "length": 2}, {"I": 4})
    for dim, i in ((0, 0), (1, -1), (-1, 0)):
        yield Case("aten.select.int", section.Select, ("NTI",), {"dim": dim, "index": i})
        yield Case("aten.select_scatter.default", section.SelectScatter, ("NNN", "NN"), {"dim": dim, "index": i})
    for told in ({}, {"offset": 1, "dim1": 1, "dim2": 2}, {"offset": -1, "dim1": -1, "dim2": 0}):
        yield Case("aten.diagonal.default", section.Diagonal, ("NTI",), told, {"N": 3, "T": 4, "I": 5})
    for told in ({}, {"offset": 1, "dim1": 0, "dim2": 2}):
        yield Case("aten.diag_embed.default", section.DiagonalEmbed, ("NI",), told)
    for x, diagonal in (("NI", 0), ("I", 1), ("II", -1)):
        yield Case("aten.diag.default", section.Diag, (x,), {"diagonal": diagonal})
    for size, step in ((3, 1), (2, 2), (2, 3)):
        told = {"dimension": 1, "size": size, "step": step}
        yield Case("aten.unfold.default", section.Unfold, ("NIT",), told, {"I": 6})
    for diagonal in (0, 1, -1):
        yield Case("aten.triu.default", section.UpperTriangle, ("NTI",), {"diagonal": diagonal})
        yield Case("aten.tril.default", section.LowerTriangle, ("NTI",), {"diagonal": diagonal})


def _pads() -> Iterator[Case]:
    for p in ([1, 2], [0, 1, 2, 0], [-1, 2, 1, -1], [0, 0, 1, 1]):
        yield Case(
            "aten.constant_pad_nd.default", pad.ConstantPad, ("NTI",), {"pad": p, "value": 2.5}, {"T": 3, "I": 3}
        )
        yield Case("aten.pad.default", pad.Pad, ("NTI",), {"pad": p}, {"T": 3, "I": 3})
    for mode in ("reflect", "replicate", "circular"):
        for x, p in (("NCI", [1, 2]), ("NCTI", [2, 1, 0, 3]), ("NCTIO", [1, 1, 0, 2, 1, 0])):
            told = {"pad": p, "mode": mode}
            yield Case("aten.pad.default", pad.PadFromWithin, (x,), told, {"T": 4, "I": 5, "O": 3})


CASES = [*_read(), *_write(), *_reduce(), *_sections(), *_pads()]
