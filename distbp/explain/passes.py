"""The passes of a program where every tensor that it is given is contiguous."""

import torch

from distbp.program.program import Passes, Program


def contiguous_passes(program: Program, device: torch.device) -> Passes:
    """The passes for tensors on ``device``, as those of a part and of flat buffers lie; gradients are written."""
    graph = program.graph
    likes = {v: like(torch.empty(v.shape, dtype=v.dtype, device="meta"), device) for v in (*graph.inputs, *graph.slots)}
    return program.passes(likes | {v: like(c, c.device) for v, c in graph.constants.items()}, add=False)


def like(tensor: torch.Tensor, device: torch.device) -> tuple[object, ...]:
    """How a tensor lies in memory."""
    return tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, device
