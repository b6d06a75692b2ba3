"""A text that a language model writes: each unit is drawn from what the model says may follow those before it.

V units in all.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from distbp.data import order
from distbp.data.vocabulary import Vocabulary
from distbp.workloads.recurrent import Recurrent
from distbp.workloads.transformer import Transformer

Read = Callable[[int], Tensor]
"""``read(unit)``: the scores, (V), of what may follow a unit that stands behind all those read before it."""


def sampled(read: Read, vocabulary: Vocabulary, *, units: int, seed: int) -> str:
    """So many ``units``, behind the end of a line, or the unknown where no unit is one. ``seed`` alone decides."""
    generator = torch.Generator().manual_seed(order.key(seed))
    written = vocabulary.encode("\n").tolist() or [0]
    for _ in range(units):
        chances = read(written[-1]).double().softmax(dim=0).cpu()
        written.append(int(torch.multinomial(chances, 1, generator=generator)))
    return vocabulary.decode(written[1:])


def carrying(module: Recurrent) -> Read:
    """A recurrent network reads the unit alone, and carries its state on."""
    state = module.begin(1)

    def read(unit: int) -> Tensor:
        nonlocal state
        scores, state = module(torch.tensor([[unit]], device=state[0].device), *state)
        last: Tensor = scores[0, -1]
        return last

    return read


def looking_back(module: Transformer) -> Read:
    """A transformer reads as many of the last units as it can anew."""
    context, device = module.position.num_embeddings, module.position.weight.device
    units: list[int] = []

    def read(unit: int) -> Tensor:
        units.append(unit)
        last: Tensor = module(torch.tensor([units[-context:]], device=device))[0, -1]
        return last

    return read
