"""A workload that is trained in half a second: a few random vectors, a net with dropout; slow enough to be killed."""

import time

import numpy as np
import torch
from torch import nn

from distbp.data.split import Split
from distbp.workloads.base import Workload
from distbp.workloads.perceptron import perceptron
from distbp.workloads.pictures import accuracy, cross_entropy

SAMPLES, FEATURES, CLASSES = 61, 6, 3


class Tiny(Split):
    """Vectors whose largest of three sums is their class; each batch takes ``pause`` seconds."""

    def __init__(self, pause: float) -> None:
        draws = torch.Generator().manual_seed(5)
        self.inputs = torch.randn(SAMPLES, FEATURES, generator=draws)
        self.labels = self.inputs.view(SAMPLES, CLASSES, -1).sum(dim=2).argmax(dim=1)
        self.pause = pause

    def __len__(self) -> int:
        return SAMPLES

    def batch(self, samples: np.ndarray, draws: np.ndarray):
        time.sleep(self.pause)
        chosen = torch.from_numpy(samples)
        return (self.inputs[chosen],), self.labels[chosen]


def tiny(*, pause: float, path: str | None, cache: str, seed: int) -> Workload:
    torch.set_num_threads(1)
    module: nn.Module = perceptron([FEATURES, 8, CLASSES], dropout=0.2, seed=seed)
    return Workload(module, cross_entropy, accuracy, training=Tiny(pause), splits={"test": Tiny(0.0)})
