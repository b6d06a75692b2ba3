"""Attention. N examples, C heads, T queries, O keys, I features, L features of a value that differ from I."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from distbp.maps.attention import OP, Attention, DroppedAttention, TiledAttention
from tests.maps.case import Case, Draw, Sizes

FIXED = {"T": 3, "O": 4, "L": 7}  # of one key alone, all weights are 1 and most gradients 0
CAUSAL = {"is_causal": True}
GROUPED = {**FIXED, "G": 6, "C": 3}


def seen(letters: str, blind: bool = False) -> Draw:
    """A mask of True and False; with ``blind``, the first query sees no key, else each sees the first."""

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        mask = torch.rand([sizes.get(letter, 1) for letter in letters], generator=generator) < 0.6
        mask[..., 0] = True
        if blind:
            mask[..., 0, :] = False
        return mask

    return draw


def bias(letters: str) -> Draw:
    """A mask of floating point that hides all keys from the first query."""

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        return (
            torch.zeros([sizes.get(letter, 1) for letter in letters])
            .double()
            .masked_fill(~seen(letters, blind=True)(sizes, generator), -torch.inf)
        )

    return draw


def cases() -> Iterator[Case]:
    heads = ("NCTI", "NCOI", "NCOI")
    for told in ({}, CAUSAL, {"scale": 0.3}):
        yield Case(OP, TiledAttention, (*heads, "-"), told, FIXED)
        yield Case(OP, TiledAttention, ("NTI", "NOI", "NOI", "-"), told, FIXED)
        yield Case(OP, Attention, ("TI", "OI", "OI", "-"), told, FIXED)
        yield Case(OP, Attention, ("NCTI", "NCOI", "NCOL", "-"), told, FIXED)
        yield Case(OP, Attention, ("2NCTI", "2NCOI", "2NCOI", "-"), told, {**FIXED, "2": 2})
        yield Case(OP, DroppedAttention, (*heads, "-"), {**told, "dropout_p": 0.4}, FIXED)
    for mask in (
        "TO",
        "NCTO",
        "11TO",
        "N11O",
        seen("1CT1", blind=True),
        seen("TO"),
        seen("NCTO", blind=True),
        seen("N1TO"),
        bias("TO"),
    ):
        yield Case(OP, TiledAttention, (*heads, mask), {}, FIXED)
        yield Case(OP, Attention, ("NCTI", "NCOI", "NCOL", mask), {}, FIXED)
        yield Case(OP, DroppedAttention, (*heads, mask), {"dropout_p": 0.4, "scale": 0.3}, FIXED)
    for queries in (5, 6):
        yield Case(OP, TiledAttention, (*heads, "-"), CAUSAL, {**FIXED, "T": queries})
        yield Case(OP, TiledAttention, (*heads, "NCTO"), {}, {**FIXED, "T": queries})
        yield Case(OP, Attention, ("NCTI", "NCOI", "NCOL", "-"), CAUSAL, {**FIXED, "T": queries})
    for mask in ("TO", "NTO", "1TO", seen("NTO", blind=True)):
        yield Case(OP, TiledAttention, ("NTI", "NOI", "NOI", mask), {}, FIXED)
    yield Case(OP, Attention, ("TI", "OI", "OI", "TO"), {}, FIXED)
    yield Case(OP, Attention, ("NCTI", "1COI", "N1OI", "-"), {}, {**FIXED, "N": 3, "C": 2})
    yield Case(OP, DroppedAttention, ("NTI", "NOI", "NOI", "-"), {"dropout_p": 1.0}, FIXED)
    for shared in ("C", "1"):
        grouped = ("NGTI", f"N{shared}OI", f"N{shared}OI")
        yield Case(OP, TiledAttention, (*grouped, "-"), {"enable_gqa": True}, GROUPED)
        yield Case(OP, TiledAttention, (*grouped, "NGTO"), {"enable_gqa": True}, GROUPED)
        yield Case(OP, TiledAttention, (*grouped, "-"), {"enable_gqa": True, **CAUSAL}, GROUPED)
        yield Case(OP, DroppedAttention, (*grouped, "-"), {"enable_gqa": True, "dropout_p": 0.4}, GROUPED)


CASES = list(cases())
