"""Language models trained as people do in plain torch, by the recipes of ``experiment=nlp/...``, for the same figures.

Each has its own cut into streams or windows, and torch's own modules: what it shares with the project is the text, its
units, and the weights that it begins with. ``python -m tests.workloads.language_twins lstm_small`` prints a perplexity;
overrides may follow the name.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distbp import config, job
from distbp.comm.local import LocalCommunicator
from distbp.data.vocabulary import Vocabulary
from distbp.schema import Request
from distbp.workloads.texts import texts

Batch = tuple[Tensor, Tensor]


class Net(nn.Module):
    """Embedding, LSTM, and a layer of scores."""

    names: Mapping[str, str] = {}  # those of the project are its own

    def __init__(self, vocabulary: int, told: Any) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, told["width"])
        self.lstm = nn.LSTM(told["width"], told["width"], told["layers"])
        self.head = nn.Linear(told["width"], vocabulary)

    def forward(self, units: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = self.lstm(self.token(units), state)
        return self.head(y), tuple(tensor.detach() for tensor in state)


class Gpt(nn.Module):
    """torch's own encoder layers, norm first, under a mask."""

    names: Mapping[str, str] = {
        "blocks": "layers",
        "attention.qkv.": "self_attn.in_proj_",
        "attention.project": "self_attn.out_proj",
        "perceptron.0": "linear1",
        "perceptron.2": "linear2",
    }

    def __init__(self, vocabulary: int, told: Any) -> None:
        super().__init__()
        width = told["width"]
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(told["context"], width)
        gelu: Callable[[Tensor], Tensor] = lambda x: F.gelu(x, approximate="tanh")  # noqa: E731
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, told["heads"], 4 * width, 0.0, gelu, batch_first=True, norm_first=True)
            for _ in range(told["layers"])
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, units: Tensor, _state: Any) -> tuple[Tensor, Any]:
        n = units.shape[1]
        x = self.token(units) + self.position.weight[:n]
        mask = nn.Transformer.generate_square_subsequent_mask(n)
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=True)
        return self.head(self.norm(x)), None


def columns(codes: Tensor, told: Any, batch_size: int) -> Iterator[Batch]:
    """The text in columns, (T, N) at a time; the few units that fill no row are left out."""
    rows = (len(codes) - 1) // batch_size
    x, y = (codes[k : k + rows * batch_size].view(batch_size, rows).T for k in (0, 1))
    return zip(x.split(told["length"]), y.split(told["length"]), strict=True)


def windows(codes: Tensor, told: Any, batch_size: int) -> Iterator[Batch]:
    """Windows that begin anywhere, shuffled, (N, T) at a time."""
    moved = codes[int(torch.randint(told["context"], ())) :]
    rows = moved[: (len(moved) - 1) // told["context"] * told["context"]].view(-1, told["context"])
    after = moved[1 : rows.numel() + 1].view_as(rows)
    order = torch.randperm(len(rows)).split(batch_size)
    return ((rows[chosen], after[chosen]) for chosen in order)


TWINS: dict[str, tuple[type[Net] | type[Gpt], Callable[[Tensor, Any, int], Iterator[Batch]]]] = {
    "nlp/lstm_lm": (Net, columns),
    "nlp/transformer_lm": (Gpt, windows),
}


def perplexity(experiment: str, *words: str) -> float:
    """On the test text, after training by the recipe of ``experiment`` changed by ``words``."""
    torch.set_num_threads(1)
    request = config.request(f"experiment=nlp/{experiment}", *words)
    torch.manual_seed(request.seed)
    told, size, rate = request.workload, request.batch_size, request.optimizer
    make, batches = TWINS[told["name"]]
    found = texts(request.data.path, request.data.cache)
    vocabulary = Vocabulary(found[0], told["unit"], least=told["least"])
    training, _, test = (torch.from_numpy(vocabulary.encode(text)) for text in found)
    net = make(len(vocabulary), told)
    net.load_state_dict(beginning(request, net.names))
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=1.0, betas=(rate["beta1"], rate["beta2"]), weight_decay=rate["weight_decay"], fused=True
    )
    each = sum(1 for _ in batches(training, told, size))
    warm, steps = request.schedule["warmup_epochs"] * each, request.epochs * each
    step = 0
    for _ in range(request.epochs):
        state = None
        for units, target in batches(training, told, size):
            if step == (request.steps or steps):
                break
            middle = step + 0.5
            progress = max(0.0, (middle - warm) / (steps - warm))
            optimizer.param_groups[0]["lr"] = rate["lr"] * (
                middle / warm if middle < warm else (1 + math.cos(math.pi * progress)) / 2
            )
            scores, state = net(units, state)
            optimizer.zero_grad()
            F.cross_entropy(scores.flatten(0, 1), target.flatten()).backward()
            optimizer.step()
            step += 1
    return math.exp(mean_loss(net, batches(test, told, size)))


def beginning(request: Request, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights that the project begins with, under the twin's names."""
    weights = job.build_workload(request, LocalCommunicator()).module.state_dict()
    for mine, its in names.items():
        weights = {name.replace(mine, its): tensor for name, tensor in weights.items()}
    return weights


@torch.no_grad()
def mean_loss(net: nn.Module, batches: Iterator[Batch]) -> float:
    """Over all units."""
    net.eval()
    state, total, count = None, 0.0, 0
    for units, target in batches:
        scores, state = net(units, state)
        total += float(F.cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="sum"))
        count += target.numel()
    return total / count


if __name__ == "__main__":
    print(f"{sys.argv[1]}: test perplexity {perplexity(*sys.argv[1:]):.3f}")
