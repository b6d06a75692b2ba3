"""A transformer that reads a text from left to right: GPT (Radford et al. 2019), layer norm first.

N sequences, T units of each, C channels, V units in all.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEVIATION = 0.02  # of initial weights
ENDS = ("attention.project", "perceptron.2")  # of the residual branches


class Attention(nn.Module):
    """Self-attention of several heads: each unit reads those up to itself, or those that a mask shows.

    (N, T, C) -> (N, T, C).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The mask, bool, is True where a unit may be read, (N, 1, T or 1, T); causal without one."""
        n, t, c = x.shape
        q, k, v = (part.view(n, t, self.heads, c // self.heads).transpose(1, 2) for part in self.qkv(x).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        mixed: Tensor = self.project(y.transpose(1, 2).reshape(n, t, c))
        return mixed


class Block(nn.Module):
    """``x + attention(norm(x))``, then the same with a perceptron.   (N, T, C) -> (N, T, C)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """One layer."""
        x = x + self.dropout(self.attention(self.norm1(x), mask))
        y: Tensor = x + self.dropout(self.perceptron(self.norm2(x)))
        return y


class Transformer(nn.Module):
    """Units and their positions embedded, the layers, and scores of the next unit.   (N, T) int64 -> (N, T, V)."""

    def __init__(
        self,
        *,
        vocabulary: int,
        context: int,
        width: int,
        heads: int,
        layers: int,
        dropout: float = 0.0,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.token.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores of the unit after each unit."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.dropout(self.token(tokens) + self.position(positions))
        scores: Tensor = self.head(self.norm(self.blocks(x)))
        return scores


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """``W ~ N(0, 0.02^2)``, smaller by the root of the number of residual branches where one ends; biases are 0."""
    named = dict(module.named_modules())
    branches = sum(name.endswith(ENDS) for name in named)
    for name, layer in named.items():
        if isinstance(layer, nn.Linear | nn.Embedding):
            smaller = math.sqrt(branches) if name.endswith(ENDS) else 1.0
            layer.weight.normal_(0.0, DEVIATION / smaller, generator=generator)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            layer.bias.zero_()
        if isinstance(layer, nn.LayerNorm):
            layer.reset_parameters()
