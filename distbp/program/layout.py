"""The memory layout of images: channels_last, for the whole of a program that convolves them on a CPU.

oneDNN's convolutions, torch's batch norm and pooling are faster there; what follows a convolution keeps its layout, so
that the images that the first one reads are all that has to be moved.
"""

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding, aten.convolution.default, aten.conv_transpose2d.input)


def laid_out(op: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of a call, images that are convolved on a CPU as channels_last.

    Masks are drawn in the order in which elements lie: for an op that draws, images lie as the module's own do.
    """
    if not inputs or not isinstance(inputs[0], Tensor) or inputs[0].dim() != 4 or inputs[0].device.type != "cpu":
        return inputs
    if torch.Tag.nondeterministic_seeded in op.tags and inputs[0].is_contiguous(memory_format=torch.channels_last):
        return inputs[0].contiguous(), *inputs[1:]
    return (channels_last(inputs[0]), *inputs[1:]) if op in CONVOLUTIONS else inputs


def channels_last(x: Tensor) -> Tensor:
    """``x`` (N,C,H,W), stored as (N,H,W,C)."""
    _, c, h, w = x.shape
    strides = (h * w * c, 1, w * c, c)
    if x.stride() == strides:
        return x
    if x.is_contiguous() and (c == 1 or h * w == 1):  # the elements lie so already; the strides have to say it
        return x.as_strided(x.shape, strides)
    return x.contiguous(memory_format=torch.channels_last)
