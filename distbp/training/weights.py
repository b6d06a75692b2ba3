"""The trainable parameters in flat buffers, of which each worker of a node updates a share."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.comm.window import Window
from distbp.reduction.layout import Layout, adopt, carve
from distbp.reduction.reducer import exact_rows
from distbp.reduction.share import calls


class Weights:
    """Flat parameters in this worker's block of ``window``; ``shares`` are those that it updates, bucket by bucket.

    Where the workers of a node see each other's blocks, each updates an equal share of every bucket, has the
    optimizer's state of that share alone, and takes the other shares from the others' blocks: the optimizer's state is
    partitioned (ZeRO, Rajbhandari et al. 2020, stage 1), within a node. Where nothing is shared a worker updates all.
    The rules are element-wise, so the bits are the same.

    ``gradients`` are the flat buffers that hold at least the sums of this worker's shares when it updates them.
    ``views`` are the parameters that have elements, in their shapes, by name, for a rule that is not element-wise: each
    with its gradient, which is whole where the update is not divided.
    """

    def __init__(
        self,
        layouts: Sequence[Layout],
        tensors: Mapping[str, Tensor],
        gradients: Sequence[Tensor],
        window: Window,
        comm: Communicator,
    ) -> None:
        self.layouts = tuple(layouts)
        self._window = window
        self._comm = comm
        twins = [carve(layouts, block) for block in window.blocks]
        mine = twins[window.place]
        for layout, flat in zip(self.layouts, mine, strict=True):
            adopt(tensors, layout.views(flat))
        self.shares = self.own(mine)
        self.gradients = self.own(gradients)
        for share, gradient in zip(self.shares, self.gradients, strict=True):
            share.grad = gradient
        self.views = {
            name: _with(view, layout.views(of_all)[name])
            for layout, flat, of_all in zip(self.layouts, mine, gradients, strict=True)
            for name, view in layout.views(flat).items()
            if view.numel()
        }
        others = [place for place in range(len(twins)) if place != window.place]
        copies = [pair for p in others for pair in zip(self._of(p, mine), self._of(p, twins[p]), strict=True)]
        self._copies = [call for pair in copies for call in calls([], [pair])]

    @property
    def divided(self) -> bool:
        """Whether this worker updates less than all."""
        return self._window.shared

    def by_group(self) -> Iterator[tuple[Hashable, Tensor]]:
        """Each of the shares with the group of its layout."""
        return zip((layout.group for layout in self.layouts for _ in layout.buckets), self.shares, strict=True)

    def views_by_group(self) -> Iterator[tuple[Hashable, Tensor]]:
        """Each of the views with the group of its layout."""
        return (
            (layout.group, self.views[span.name])
            for layout in self.layouts
            for span in layout.spans
            if span.name in self.views
        )

    @property
    def extents(self) -> Iterator[tuple[Layout, tuple[int, int], int, int]]:
        """Of each of the shares: its layout, its bucket there, and where it begins and ends within the bucket."""
        place, workers = self._window.place, len(self._window.blocks)
        for layout in self.layouts:
            for start, stop in layout.buckets:
                length = (stop - start) // workers
                yield layout, (start, stop), place * length, (place + 1) * length

    def own(self, buffers: Sequence[Tensor]) -> list[Tensor]:
        """This worker's shares of some flat buffers, one for each layout, as views."""
        return self._of(self._window.place, buffers)

    def spread(self, *, step: int) -> None:
        """Once each worker has updated its shares: everybody's, to this worker. Collective."""
        if not self.divided:
            return
        board = self._comm.board
        board.enter(Name(step, "update"), "spread")
        self._window.fence()
        # Nobody writes to a share again before all have left their next gradients.
        for call, operands in self._copies:
            call(*operands)
        board.leave()

    def whole(self, values: Sequence[Tensor], *, step: int) -> list[Tensor]:
        """From values of each worker's shares to those of all parameters, one flat buffer a layout. Collective."""
        buckets = iter(self.everyones(values, phase="checkpoint", step=step))
        buffers = [layout.allocate(self._comm.device) for layout in self.layouts]
        for layout, flat in zip(self.layouts, buffers, strict=True):
            for start, stop in layout.buckets:
                flat[start:stop] = next(buckets)
        return buffers

    def everyones(self, values: Sequence[Tensor], *, phase: str, step: int) -> list[Tensor]:
        """From a value of each share of this worker, (n), to those of the whole buckets, in order. Collective."""
        if not self.divided:
            return list(values)
        node = list(self._window.nodes[self._window.across.rank])
        found = []
        for number, value in enumerate(values):
            told = value.new_empty(self._comm.size, value.numel())
            self._comm.all_gather(told, value, name=Name(step, phase, number)).wait()
            found.append(told[node].view(-1))
        return found

    def complete(self, values: Tensor, *, phase: str, step: int) -> Tensor:
        """Of ``values`` each worker has what its shares came to, and 0 elsewhere: all of them. Collective."""
        if not self.divided:
            return values
        # Workers at the same place of several nodes have the same shares, of which one tells.
        mine = values if self._window.across.rank == 0 else torch.zeros_like(values)
        return exact_rows(mine.to(self._comm.device), self._comm, name=Name(step, phase))

    def _of(self, place: int, buffers: Sequence[Tensor]) -> list[Tensor]:
        workers = len(self._window.blocks)
        return [
            flat[start:stop].view(workers, -1)[place]
            for layout, flat in zip(self.layouts, buffers, strict=True)
            for start, stop in layout.buckets
        ]


def _with(view: Tensor, gradient: Tensor) -> Tensor:
    view.grad = gradient
    return view
