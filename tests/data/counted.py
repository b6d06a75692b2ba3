"""A split whose samples can be told apart, for the laws of the loader."""

import numpy as np
import torch
from torch import Tensor

from distbp.data.split import Split


class Counted(Split):
    """n samples; sample s is the number s beside its own draws, and its target is s."""

    draws, pure = 2, True

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        numbers = torch.from_numpy(samples)
        return (numbers[:, None].double(), torch.from_numpy(draws)), {"number": numbers}
