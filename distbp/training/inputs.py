"""What a loop of one's own gives to a step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._pytree import tree_leaves

from distbp.errors import RequestError


def tensors_of(inputs: Tensor | Sequence[Tensor], target: Any) -> tuple[Tensor, ...]:
    """The inputs as a tuple. RequestError for those that are no tensors, and for a target that is numpy's."""
    found = (inputs,) if isinstance(inputs, Tensor) else inputs
    if not isinstance(found, list | tuple) or not found or not all(isinstance(item, Tensor) for item in found):
        kinds = [type(item).__name__ for item in found] if isinstance(found, list | tuple) else type(found).__name__
        raise RequestError("inputs", kinds, "a tensor, or a tuple of the tensors that forward takes, is needed")
    if any(isinstance(leaf, np.ndarray) for leaf in tree_leaves(target)):
        raise RequestError("target", "numpy.ndarray", "tensors are needed: torch.from_numpy makes them")
    return tuple(found)
