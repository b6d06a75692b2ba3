"""What a module carries from one segment of its samples to the next (an LSTM's state), part by part.

It belongs to the samples and not to the worker: a run that goes on with another number of workers carries on the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.data.part import Part, State, placed
from distbp.engines.base import Begin
from distbp.errors import RequestError
from distbp.reduction.reducer import exact_rows

Cut = Callable[[int], Mapping[int, range]]
"""``cut(n)``: which of the n samples of a batch each of this worker's parts has."""


class CarriedState:
    """The states of this worker's parts. ``begin(n)`` is that of n samples before their first segment.

    A step reads what the last one has left and leaves its own beside it, so that it may be done once more.
    """

    def __init__(self, begin: Begin, comm: Communicator) -> None:
        self._begin = begin
        self._comm = comm
        self._before: dict[int, State] = {}  # by part
        self._after: dict[int, list[State]] = {}  # by part, one for each of its micro-batches

    def first(self, part: Part) -> State:
        """The state of a part that begins its samples."""
        return tuple(placed(tensor, self._comm.device) for tensor in self._begin(len(part)))

    def turn(self) -> None:
        """A step begins: what the last one left is what this one goes on from."""
        self._before = {part: joined(states) for part, states in self._after.items()}
        self._after = {}

    def of(self, part: Part, pieces: Sequence[Part]) -> Iterator[State]:
        """What each of a part's micro-batches goes on from: a copy, which lies where it would lie alone."""
        if part.begins or part.index not in self._before:
            self._before[part.index] = self._begin(len(part))
        whole = self._before[part.index]
        start = 0
        for piece in pieces:
            yield tuple(placed(tensor[start : start + len(piece)], self._comm.device) for tensor in whole)
            start += len(piece)

    def note(self, part: Part, piece: int, state: State) -> None:
        """What micro-batch ``piece`` of a part has left."""
        if state:
            self._after[part.index] = [*self._after.get(part.index, [])[:piece], state]

    def stay(self) -> None:
        """The step is left out: what its parts have begun with goes on."""
        self._after = {part: [self._before[part]] for part in self._after}

    def gathered(self, step: int) -> dict[str, Tensor]:
        """What the last step left, by number, each for all samples in the order of their batch.

        Collective; none where the module carries none.
        """
        tensors = self._begin(0)
        if not tensors:
            return {}
        name = Name(step, "checkpoint")
        mine = {part: joined(states) for part, states in self._after.items()}
        told = self._comm.gather_json([(part, len(state[0])) for part, state in mine.items()], name=name)
        lengths = sorted((part, length) for of_rank in told for part, length in of_rank)
        found: dict[str, Tensor] = {}
        for number, like in enumerate(tensors):
            of_parts = [mine[v][number] if v in mine else like.new_zeros(n, *like.shape[1:]) for v, n in lengths]
            whole = torch.cat([like, *of_parts]).to(self._comm.device)
            exact_rows(whole.view(-1).view(torch.uint8), self._comm, name=name)  # as bytes: -0.0 + 0.0 is 0.0
            found[str(number)] = whole
        return found

    def restore(self, saved: Mapping[str, Tensor], cut: Cut) -> None:
        """Go on from what ``gathered`` gave, whatever the number of workers was. RequestError if it is of another look.

        Where nothing was saved, the samples begin anew.
        """
        samples = min((len(tensor) for tensor in saved.values() if tensor.dim()), default=0)
        if samples:
            expected = {str(number): tensor for number, tensor in enumerate(self._begin(samples))}
            if looks(saved) != looks(expected):
                raise RequestError("resume", "the state carried on", f"{looks(expected)} is needed, not {looks(saved)}")
            for v, own in cut(samples).items():
                self._after[v] = [tuple(saved[name][own.start : own.stop] for name in expected)]


def looks(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Shape and dtype, by name."""
    return {name: f"{tuple(tensors[name].shape)} of {tensors[name].dtype}" for name in sorted(tensors)}


def joined(states: Sequence[State]) -> State:
    """The states of the micro-batches of a part as one."""
    return tuple(torch.cat(tensors) for tensors in zip(*states, strict=True))
