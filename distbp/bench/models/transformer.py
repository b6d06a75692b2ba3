"""GPTs (Radford et al. 2019, in nanoGPT's shapes): layer norm first, causal attention, GELU, no dropout, untied head.

N sequences, T tokens of each, C channels, V tokens in all.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.bench.models.case import Case, cross_entropy

LAYERS = 4


class Attention(nn.Module):
    """Causal self-attention of several heads.   (N, T, C) -> (N, T, C)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Each token reads those up to itself."""
        n, t, c = x.shape
        q, k, v = (part.view(n, t, self.heads, c // self.heads).transpose(1, 2) for part in self.qkv(x).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed: Tensor = self.project(y.transpose(1, 2).reshape(n, t, c))
        return mixed


class Block(nn.Module):
    """``x + attention(norm(x))``, then the same with a perceptron.   (N, T, C) -> (N, T, C)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """One layer."""
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.perceptron(self.norm2(x))
        return y


class GPT(nn.Module):
    """Tokens and positions embedded, four layers, scores of the next token.   (N, T) int64 -> (N, T, V)."""

    def __init__(self, *, vocabulary: int, context: int, width: int, heads: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores of the token after each token."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(positions)
        scores: Tensor = self.head(self.norm(self.blocks(x)))
        return scores


def gpt_small(batch: int = 12) -> Case:
    """128 wide, a context of 64, 65 characters."""
    return case(batch, vocabulary=65, context=64, width=128)


def gpt_vocab(batch: int = 8) -> Case:
    """256 wide, a context of 128, 10,000 tokens: half of the work is the head's."""
    return case(batch, vocabulary=10_000, context=128, width=256)


def case(batch: int, *, vocabulary: int, context: int, width: int) -> Case:
    """A GPT with four heads and a batch of random tokens, each target the token that follows."""
    module = GPT(vocabulary=vocabulary, context=context, width=width, heads=4)
    tokens = torch.randint(vocabulary, (batch, context + 1))
    return Case(module, cross_entropy, (tokens[:, :-1].clone(),), tokens[:, 1:].clone(), "adamw")
