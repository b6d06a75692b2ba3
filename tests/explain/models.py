"""Small models to be explained, each with its loss and a part."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.data.part import Part

Explained = tuple[nn.Module, Any, Part]


class Transformer(nn.Module):
    """A layer of a transformer that reads no later token: a mask in a buffer, and the head tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(23, 16)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 23, bias=False)
        self.head.weight = self.token.weight
        self.mask: Tensor
        self.register_buffer("mask", torch.full((7, 7), -torch.inf).triu(1))

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layer(self.token(tokens), src_mask=self.mask))
        return scores


class Spare(nn.Module):
    """A frozen layer, a batch norm, and a parameter that the loss does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.ones(5))
        self.frozen = nn.Linear(4, 6).requires_grad_(False)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.tanh(self.norm(self.frozen(x))))
        return scores


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    return F.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="sum"), target.numel()


def transformer() -> Explained:
    tokens = torch.randint(23, (3, 8))
    return Transformer(), cross_entropy, Part(0, (tokens[:, :-1].clone(),), tokens[:, 1:].clone(), 0)


def spare() -> Explained:
    return Spare(), nn.MSELoss(), Part(0, (torch.randn(8, 4),), torch.randn(8, 2), 0)


def images() -> Explained:
    module = nn.Sequential(nn.Conv2d(1, 40, 3), nn.BatchNorm2d(40), nn.ReLU(), nn.Flatten(), nn.Linear(640, 3))
    return module, cross_entropy, Part(0, (torch.randn(2, 1, 6, 6),), torch.randint(3, (2,)), 0)


def recurrent() -> Explained:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 3, 2, bidirectional=True)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.lstm(x)[0]
            return y

    return Last(), nn.MSELoss(), Part(0, (torch.randn(5, 2, 4),), torch.randn(5, 2, 6), 0)


MODELS = {"transformer": transformer, "spare": spare, "images": images, "recurrent": recurrent}
