"""The compressors by name, each with the settings that are its own."""

from collections.abc import Mapping
from functools import partial

from distbp.reduction.compression.base import Make
from distbp.reduction.compression.bf16 import BF16
from distbp.reduction.compression.coded import Coded
from distbp.reduction.compression.power_sgd import PowerSGD
from distbp.reduction.compression.scaled import FP16, INT8
from distbp.reduction.compression.top_k import TopK

RANK = 4
FRACTION = 0.01


def choices(*, rank: int = RANK, fraction: float = FRACTION) -> Mapping[str, Make | None]:
    """What makes the compressor of each name. ``rank`` is that of PowerSGD's factors, ``fraction`` what top-k sends."""
    return {
        "none": None,
        "bf16": partial(Coded, code=BF16()),
        "fp16": partial(Coded, code=FP16()),
        "int8": partial(Coded, code=INT8()),
        "powersgd": partial(PowerSGD, rank=rank),
        "topk": partial(TopK, fraction=fraction),
    }
