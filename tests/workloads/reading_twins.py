"""The readers of texts in plain torch, text by text, each as long as it is: there is no padding and no mask.

Only the draws of dropout are made for whole rows, as the modules make them. T units of a text, C channels, H hidden.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Twin:
    """The weights of a module, and its scores text by text."""

    def __init__(self, module: nn.Module, *, dropout: float) -> None:
        self.w = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters()}
        self.p = dropout

    def kept(self, *shape: int) -> Tensor:
        """What dropout multiplies numbers of this shape with."""
        return F.dropout(torch.ones(shape, dtype=torch.float64), self.p)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]


class RecurrentTwin(Twin):
    def gru(self, x: Tensor, name: str) -> Tensor:
        """The states of one GRU.   (T, C) -> (T, H)."""
        w_x, w_h, b_x, b_h = (self.w[f"{name}.{kind}_l0"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h, states = x.new_zeros(w_h.shape[1]), []
        for row in x:
            (r_x, z_x, n_x), (r_h, z_h, n_h) = (w_x @ row + b_x).chunk(3), (w_h @ h + b_h).chunk(3)
            r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
            h = (1 - z) * torch.tanh(n_x + r * n_h) + z * h
            states.append(h)
        return torch.stack(states)

    def scores(self, units: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.w["token.weight"][units]
        x = embedded * self.kept(*embedded.shape)
        reads = []
        for n, length in enumerate(lengths.tolist()):
            own = x[n, :length]
            h = torch.cat([self.gru(own, "onwards"), self.gru(own.flip(0), "back").flip(0)], dim=1)
            attention = (torch.tanh(self.linear(h, "key")) @ self.w["context.weight"][0]).softmax(0)
            reads.append(attention @ h)
        read = torch.stack(reads)
        return self.linear(read * self.kept(*read.shape), "head")


class EncoderTwin(Twin):
    HEADS, LAYERS = 2, 2

    def norm(self, x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        return centred / (variance + 1e-5).sqrt() * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attention(self, x: Tensor, name: str) -> Tensor:
        """(T, C) -> (T, C)."""
        q, k, v = self.linear(x, f"{name}.qkv").chunk(3, dim=1)
        heads = [
            (a @ b.T / math.sqrt(a.shape[1])).softmax(1) @ c
            for a, b, c in zip(*(y.chunk(self.HEADS, dim=1) for y in (q, k, v)), strict=True)
        ]
        return self.linear(torch.cat(heads, dim=1), f"{name}.project")

    def perceptron(self, x: Tensor, name: str) -> Tensor:
        return self.linear(bent(self.linear(x, f"{name}.0")), f"{name}.2")

    def neighbours(self, x: Tensor) -> Tensor:
        """What each unit reads of the one before it, itself and the one after it.   (T, C) -> (T, C)."""
        nothing = x.new_zeros(1, x.shape[1])
        three = (torch.cat([nothing, x[:-1]]), x, torch.cat([x[1:], nothing]))
        taps = self.w["neighbours.weight"].unbind(2)
        return bent(sum(y @ tap.T for y, tap in zip(three, taps, strict=True)) + self.w["neighbours.bias"])

    def scores(self, units: Tensor, lengths: Tensor) -> Tensor:
        shape = (*units.shape, self.w["token.weight"].shape[1])
        embedded = self.w["token.weight"][units]
        whole = F.dropout1d(torch.ones(shape, dtype=torch.float64), self.p)
        kept = [whole, *(self.kept(*shape) for _ in range(2 * self.LAYERS))]
        reads = []
        for n, length in enumerate(lengths.tolist()):
            first, *others = (mask[n, :length] for mask in kept)
            x = embedded[n, :length] * first
            x = x + self.neighbours(x)
            for layer, (one, two) in enumerate(zip(others[::2], others[1::2], strict=True)):
                x = x + one * self.attention(self.norm(x, f"blocks.{layer}.norm1"), f"blocks.{layer}.attention")
                x = x + two * self.perceptron(self.norm(x, f"blocks.{layer}.norm2"), f"blocks.{layer}.perceptron")
            reads.append(self.norm(x, "norm").mean(0))
        read = torch.stack(reads)
        return self.linear(read * self.kept(*read.shape), "head")


def bent(x: Tensor) -> Tensor:
    """GELU by its tanh (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


TWINS: dict[str, Callable[..., RecurrentTwin | EncoderTwin]] = {"recurrent": RecurrentTwin, "encoder": EncoderTwin}
