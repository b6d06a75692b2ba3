"""A small model in which many maps have a layer of their own, so that a fault in one can be named."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.data.part import Part


class Do(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.residual = Do(torch.add)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.maximum = nn.MaxPool2d(2)
        self.average = nn.AvgPool2d(2)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.4)
        self.tanh = nn.Tanh()
        self.hidden = nn.Linear(16, 16)
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, 16))
        self.scale = Do(torch.mul)
        self.shift = nn.Parameter(torch.linspace(-1, 1, 16))
        self.add = Do(torch.add)
        self.ratio = Do(torch.div)
        self.minus = Do(torch.sub)
        self.join = Do(lambda a, b: torch.cat([a, b], 1))
        self.piece = Do(lambda x: x[:, 3:25])
        self.head = nn.Linear(22, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.norm(self.conv1(x)))
        h = self.residual(h, self.conv2(h))
        h = self.flatten(self.average(self.maximum(h)))
        h = self.tanh(self.hidden(self.dropout(h)))
        h = self.add(self.scale(h, self.gain), self.shift)
        h = self.minus(h, self.ratio(h, 2 + self.gain**2))
        return self.head(self.piece(self.join(h, h * h)))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(11, 8, padding_idx=0)
        self.norm = nn.LayerNorm(8)
        self.project = nn.Linear(8, 8)
        self.heads = Do(lambda x: x.view(3, 5, 2, 4).transpose(1, 2))
        self.attention = Do(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
        self.merge = Do(lambda x: x.permute(0, 2, 1, 3).reshape(3, 5, 8))
        self.gelu = nn.GELU()
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.weights = nn.Softmax(1)
        self.sigmoid = nn.Sigmoid()
        self.pooled = Do(lambda x: x.mean(1))
        self.start = nn.Parameter(torch.linspace(-1, 1, 8))
        self.spread = Do(lambda s: s.expand(3, 8))
        self.again = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.token.weight

    def forward(self, numbers: Tensor) -> Tensor:
        h = self.norm(self.token(numbers))
        q = self.heads(self.project(h))
        h = h + self.merge(self.attention(q, q * 2, q))
        h = h + self.lstm(self.gelu(h))[0]
        h = h * self.weights(h)
        h = self.pooled(self.sigmoid(h)) + self.spread(self.start)
        return self.head(self.again(torch.tanh(self.again(h))))


class Loss(nn.Module):
    """The mean over examples that have a label."""

    def forward(self, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(scores, target, ignore_index=3, reduction="sum"), (target != 3).sum()


def images() -> tuple[nn.Module, nn.Module, Part]:
    torch.manual_seed(1)
    return Images(), Loss(), Part(0, (torch.randn(6, 2, 16, 16),), torch.tensor([0, 3, 2, 4, 1, 3]), 7)


def tokens() -> tuple[nn.Module, nn.Module, Part]:
    torch.manual_seed(2)
    numbers = torch.randint(1, 5, (3, 5))
    numbers[0, :2] = 0
    return Tokens(), Loss(), Part(0, (numbers,), torch.tensor([1, 3, 7]), 7)
