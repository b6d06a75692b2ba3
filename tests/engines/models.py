"""The models on which the two engines must agree: each is a module, a loss, and how its parts look."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.data.part import Part


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    return F.cross_entropy(output, target, reduction="sum"), target.shape[0]


def squared_error(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    return F.mse_loss(output, target, reduction="sum"), target.numel()


def counted_labels(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(output, target, reduction="sum", ignore_index=2), (target != 2).sum()


def written_out(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    return ((output - target) ** 2).mean(-1).sum(), target.shape[0]


def labels(n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 4, (n,), generator=generator)


def numbers(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, 4, generator=generator)


class Residual(nn.Module):
    """A value used twice, an in-place activation, a buffer that is read, a division by a number."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.body = nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU(inplace=True), nn.Linear(8, 8))
        self.last = nn.Linear(8, 4)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 8))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        h = h + self.body(h)
        h = h * self.scale - h / 3
        return self.last(h)


class Branches(nn.Module):
    """One value read by three ops, one op that reads a value twice, and products of values."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.left, self.right = nn.Linear(8, 8), nn.Linear(8, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        gate = torch.sigmoid(self.left(h)) * self.right(h)
        h = h + gate + h * h
        return self.last(h + h)


class Tied(nn.Module):
    """One weight under two names, used three times, once as it stands; one bias shared with another module."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.b.weight = self.a.weight
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, 6))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.b(torch.tanh(self.a(x * self.gain))))
        return self.last(h * self.gain + self.a.weight.sum(0))


class Frozen(nn.Module):
    """A frozen layer, a frozen bias, a trainable parameter that nothing uses, an output that the loss does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.unused = nn.Linear(3, 5)
        self.second.requires_grad_(False)
        self.last.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = torch.relu(self.second(F.gelu(self.first(x), approximate="tanh")))
        return {"logits": self.last(h), "aside": torch.softmax(self.last(h).detach(), -1)}


class Inputs(nn.Module):
    """Two inputs of several dimensions, one read as a sequence, one stopped on its way back."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.image, self.last = nn.Linear(3, 5), nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, words: Tensor, image: Tensor) -> Tensor:
        h = torch.tanh(self.words(words)).mean(1)
        g = self.image(image.flatten(1))
        return self.last(h + g - 0.5 * torch.sigmoid(g).detach())


class Image(nn.Module):
    """Convolutions, pooling and three kinds of normalisation, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False), nn.GroupNorm(2, 4), nn.SiLU())
        self.tail = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6, affine=False), nn.Flatten()
        )
        self.last = nn.Linear(6 * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        return self.last(self.tail(h + self.body(h)))


class Counted(nn.Module):
    """Blocks known by number, one norm used twice, a buffer changed twice, an image seen as rows, a value of zeros."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(6)
        self.image = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.rows = nn.Sequential(nn.Linear(8, 6, bias=False), norm, nn.Sequential(nn.Linear(6, 6, bias=False)), norm)
        self.last = nn.Linear(6, 4)
        self.register_buffer("mean", torch.zeros(6, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        h = self.rows(self.image(x).view(x.shape[0], -1))
        self.mean.mul_(0.9).add_(1.0)
        return self.last(h + self.mean.to(h.dtype) + torch.zeros_like(h))


class Words(nn.Module):
    """A tied embedding, a recurrent layer and attention. The words are told by the size of the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(4, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 4, batch_first=True, bidirectional=True)
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.lstm(self.words((x.abs() * 2).long().clamp(max=3)))
        h = h + self.attention(*3 * [self.norm(h)], need_weights=False)[0]
        return F.linear(h.mean(1), self.words.weight)


def perceptron(*activations: nn.Module) -> nn.Module:
    layers: list[nn.Module] = []
    for activation in activations:
        layers += [nn.Linear(6, 6), activation]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(6, 4))


@dataclass(frozen=True)
class Model:
    """One row of the table."""

    name: str
    module: Callable[[], nn.Module]
    loss: Any
    target: Callable[[int, torch.Generator], Any]
    shapes: tuple[tuple[int, ...], ...] = ((6,),)

    def __str__(self) -> str:
        return self.name

    def build(self) -> nn.Module:
        torch.manual_seed(5)
        return self.module().double()

    def part(self, n: int = 7, seed: int = 3) -> Part:
        generator = torch.Generator().manual_seed(seed)
        inputs = tuple(torch.randn(n, *s, generator=generator, dtype=torch.float64) for s in self.shapes)
        target = self.target(n, generator)
        return Part(0, inputs, target.double() if target.is_floating_point() else target, seed)


def logits_only(output: dict[str, Tensor], target: Tensor) -> tuple[Tensor, int]:
    return cross_entropy(output["logits"], target)


class Variational(nn.Module):
    """Noise of every kind among the layers, as in a variational autoencoder (Kingma and Welling 2014)."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 8), nn.Linear(4, 4)

    def forward(self, x):
        mean, deviation = self.encoder(x).chunk(2, dim=1)
        code = mean + torch.randn_like(mean) * deviation.exp() + torch.rand(mean.shape) * torch.randn(4)
        mask = torch.bernoulli(torch.sigmoid(mean.detach())) + torch.rand_like(mean)
        return self.decoder(code * mask * torch.empty(4).uniform_(0.5, 1.5))


MODELS = [
    Model("relu", lambda: perceptron(nn.ReLU()), cross_entropy, labels, ((2, 3),)),
    Model("tanh", lambda: perceptron(nn.Tanh()), squared_error, numbers),
    Model("sigmoid", lambda: perceptron(nn.Sigmoid(), nn.Sigmoid()), cross_entropy, labels),
    Model("gelu", lambda: perceptron(nn.GELU(), nn.GELU(approximate="tanh")), cross_entropy, labels),
    Model("inplace", lambda: perceptron(nn.ReLU(inplace=True), nn.ReLU(inplace=True)), cross_entropy, labels),
    Model("dropout", lambda: perceptron(nn.Dropout(0.3), nn.ReLU(), nn.Dropout(0.6)), cross_entropy, labels),
    Model("dropout of the input", lambda: nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 4)), cross_entropy, labels),
    Model("dropout of nothing", lambda: perceptron(nn.Dropout(0.0), nn.Dropout(1.0)), squared_error, numbers),
    Model("evaluation mode", lambda: perceptron(nn.Dropout(0.5)).eval(), cross_entropy, labels),
    Model("noise", Variational, squared_error, numbers),
    Model("residual", Residual, squared_error, numbers),
    Model("branches", Branches, cross_entropy, labels),
    Model("tied", Tied, cross_entropy, labels),
    Model("frozen", Frozen, logits_only, labels),
    Model("inputs", Inputs, cross_entropy, labels, ((2, 3), (3, 2))),
    Model("counted labels", lambda: perceptron(nn.Tanh()), counted_labels, labels),
    Model("mean", lambda: perceptron(nn.Tanh()), F.cross_entropy, labels),
    Model(
        "module as a loss", lambda: perceptron(nn.Tanh()), nn.CrossEntropyLoss(torch.arange(1.0, 5.0).double()), labels
    ),
    Model("smoothed", lambda: perceptron(nn.Tanh()), nn.CrossEntropyLoss(label_smoothing=0.1), labels),
    Model("soft labels", lambda: perceptron(nn.Tanh()), lambda o, t: F.cross_entropy(o, t.softmax(-1)), numbers),
    Model("mean squared error", lambda: perceptron(nn.Tanh()), nn.MSELoss(), numbers),
    Model(
        "broadcast target", lambda: perceptron(nn.Tanh()), lambda o, t: F.mse_loss(o, t[:1].expand(o.shape)), numbers
    ),
    Model(
        "each example's",
        lambda: perceptron(nn.Tanh()),
        lambda o, t: F.cross_entropy(o, t, reduction="none").mean(),
        labels,
    ),
    Model(
        "image with dropout",
        lambda: nn.Sequential(
            *(nn.Conv2d(2, 4, 3, padding=1), nn.Dropout(0.3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Dropout2d(0.4)),
            *(nn.Flatten(), nn.Linear(48, 4)),
        ),
        *(cross_entropy, labels, ((2, 6, 6),)),
    ),
    Model("image with batch norm", Image, cross_entropy, labels, ((2, 6, 6),)),
    Model("words", Words, cross_entropy, labels),
    Model("twice a batch norm", Counted, cross_entropy, labels, ((2, 2, 2),)),
    Model("written out", lambda: perceptron(nn.Tanh()), written_out, numbers),
]
