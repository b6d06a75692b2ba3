"""What the matrix of bits trains: a column is an engine and a model, and its weights have one hash, whoever trained it.

Each is trained for an epoch of three steps on four shards; the last batch is ragged, and leaves one shard of it empty
where batch norm wants parts of two.
"""

import threading

import torch
import torch.nn.functional as F
from torch import nn

from distbp.comm.base import Name
from distbp.data.loader import Loader
from distbp.data.split import Split
from distbp.training.data_parallel import DataParallel
from distbp.training.digest import digest
from distbp.training.optimizers import adamw, update
from distbp.workloads.perceptron import perceptron

DRAWING = threading.Lock()  # ranks may be threads: they take turns at the global generator
SHARDS = 4
BATCH, SAMPLES = 22, 51  # 22, 22 and 7
CLASSES = 10
WORDS, LENGTH = 50, 6


class Convolutions(nn.Sequential):
    """Batch norm, whose statistics are buffers that move, and dropout."""

    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (1, 28)), nn.Conv2d(1, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3),
            nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, CLASSES),
        )  # fmt: skip


class Recurrent(nn.Module):
    """A language model whose input and output words are one table: its gradient is written twice in a part."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 12)
        self.lstm = nn.LSTM(12, 12, num_layers=2, batch_first=True)
        self.head = nn.Linear(12, WORDS)
        self.head.weight = self.embedding.weight

    def forward(self, words):
        h, _ = self.lstm(self.embedding(words))
        return self.head(h)[:, -1]


class Pairs(nn.Module):
    """Two tables, of which a batch looks up few rows, some of them twice."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Embedding(WORDS, 16), nn.Embedding(WORDS, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, words):
        return self.head(torch.relu(self.left(words[:, 0]) * self.right(words[:, 1])))


MODELS = {
    "digits_mlp": lambda: perceptron([28 * 28, 64, CLASSES], dropout=0.2, seed=0),
    "convolutions": Convolutions,
    "recurrent": Recurrent,
    "pairs": Pairs,
}
MIN_PART = {"convolutions": 2}
COLUMNS = [(engine, model, 1) for engine in ("manual", "autograd") for model in MODELS] + [("manual", "digits_mlp", 2)]


class Samples(Split):
    """Random pictures, or words, with random labels."""

    def __init__(self, model):
        draws = torch.Generator().manual_seed(1)
        pictures, words = torch.randn(SAMPLES, 28, 28, generator=draws), (SAMPLES, LENGTH)
        read = model in ("recurrent", "pairs")
        self.inputs = torch.randint(WORDS, words, generator=draws) if read else pictures
        self.target = torch.randint(CLASSES, (SAMPLES,), generator=draws)

    def __len__(self):
        return SAMPLES

    def batch(self, samples, draws):
        return (self.inputs[samples],), self.target[samples]


def loss(output, target):
    return F.cross_entropy(output, target, reduction="sum"), len(target)


def make(model):
    with DRAWING:
        torch.manual_seed(0)
        return MODELS[model]()


def weights(comm, engine, model, micro_batches):
    """The hash of this rank's weights and running statistics at the end."""
    module, least = make(model), MIN_PART.get(model, 1)
    loader = Loader(
        Samples(model), batch_size=BATCH, shards=SHARDS, seed=0, rank=comm.rank, size=comm.size, min_part=least
    )
    parallel = DataParallel(
        module, loss, engine=engine, comm=comm, min_part=least, micro_batches=micro_batches, bucket_bytes=4096
    )
    parallel.prepare(loader.example())
    parallel.divide_update()
    optimizer = adamw(parallel.updated, lr=0.01)
    batches = list(loader.epoch(0))
    for part in (part for batch in batches for part in batch.parts):
        parallel.engine.prepare(part)  # threads lower before any of them computes: see comm/threads.py
    comm.barrier(name=Name(0, "test"))
    for batch in batches:
        totals = parallel.gradients(batch.parts, batch.present, step=batch.step)
        update(optimizer, lr=0.01, count=totals.count)
        parallel.weights.spread(step=batch.step)
    return digest(module.state_dict())


def hashes(comm):
    """Of every column, as this rank has it."""
    torch.set_num_threads(1)
    return [weights(comm, *column) for column in COLUMNS]
