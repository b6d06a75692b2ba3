"""How a tensor is written into a file: as what it is where that is short, else as a draw that is like it."""

import torch
from torch import Tensor

from distbp.program.text import literal

SMALL = 32  # elements


def parameter(shape: tuple[int, ...], dtype: torch.dtype) -> str:
    """A draw of normal numbers that keep the size of what they multiply."""
    fan = torch.Size(shape[1:]).numel() if len(shape) > 1 else 100
    return f"torch.randn({shape}, dtype={dtype}) * {max(fan, 1) ** -0.5:.4g}"


def batch(example: object) -> str:
    """A draw of the example's shape and dtype."""
    if not isinstance(example, Tensor):
        return literal(example)
    shape, dtype = tuple(example.shape), example.dtype
    if dtype == torch.bool:
        return f"torch.rand({shape}) < 0.5"
    if not dtype.is_floating_point:
        return whole(example.cpu())
    never_below_0 = bool(example.numel()) and bool((example >= 0).all())
    return f"torch.{'rand' if never_below_0 else 'randn'}({shape}, dtype={dtype})"


def whole(example: Tensor) -> str:
    """Whole numbers from 0 to the example's largest, that of each column where there are few: each may be of a table of
    its own. What rises from 0 is written as it is: offsets, of which each has to be in its place.
    """
    shape, dtype = tuple(example.shape), example.dtype
    if not example.numel():
        return f"torch.zeros({shape}, dtype={dtype})"
    if example.dim() == 1 and example[0] == 0 < example[-1] and bool((example[1:] >= example[:-1]).all()):
        return f"torch.tensor({literal(example.tolist())}, dtype={dtype})"
    if example.dim() == 2 and shape[1] <= SMALL:
        bounds = literal((example.amax(0) + 1).clamp(min=1).tolist())
        return f"(torch.rand({shape}, dtype=torch.float64) * torch.tensor({bounds})).to({dtype})"
    return f"torch.randint({max(int(example.max()) + 1, 1)}, {shape}, dtype={dtype})"


def fixed(tensor: Tensor) -> str:
    """A buffer or a constant: its numbers if they are few or follow a rule that is short to write."""
    tensor = tensor.detach().cpu()
    shape, dtype = tuple(tensor.shape), tensor.dtype
    if tensor.numel() <= SMALL:
        return f"torch.tensor({literal(tensor.tolist())}, dtype={dtype}).reshape({shape})"
    first = tensor.flatten()[0]
    if bool((tensor == first).all()):
        return f"torch.full({shape}, {literal(first.item())}, dtype={dtype})"
    if not dtype.is_complex and torch.equal(tensor, torch.arange(tensor.numel()).to(dtype).reshape(shape)):
        return f"torch.arange({tensor.numel()}, dtype={dtype}).reshape({shape})"
    return triangle(tensor) or between(tensor)


def triangle(tensor: Tensor) -> str:
    """A mask that has one number in a triangle and another elsewhere; empty for what is none."""
    if tensor.dim() < 2 or not tensor.shape[-2]:
        return ""
    shape, corner = tuple(tensor.shape), tensor.flatten()[tensor.shape[-1] * (tensor.shape[-2] - 1)]
    other = tensor.flatten()[tensor.shape[-1] - 1]
    for diagonal in (0, -1):
        inside = torch.ones(shape, dtype=torch.bool).tril(diagonal)
        if torch.equal(tensor, torch.where(inside, corner, other)):
            numbers = [f"torch.tensor({literal(n.item())}, dtype={tensor.dtype})" for n in (corner, other)]
            return f"torch.where(torch.ones({shape}, dtype=torch.bool).tril({diagonal}), {', '.join(numbers)})"
    return ""


def between(tensor: Tensor) -> str:
    """A draw from the range of the tensor's numbers."""
    shape, dtype = tuple(tensor.shape), tensor.dtype
    if dtype == torch.bool:
        return f"torch.rand({shape}) < 0.5"
    if dtype.is_complex:
        return f"torch.randn({shape}, dtype={dtype})"
    if not dtype.is_floating_point:
        return f"torch.randint({int(tensor.min())}, {int(tensor.max()) + 1}, {shape}, dtype={dtype})"
    finite = tensor[tensor.isfinite()].double()
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 1.0)
    return f"torch.rand({shape}, dtype={dtype}) * {high - low!r} + {low!r}"
