"""Exact evaluation: sums over every sample once, in an order that does not depend on the number of workers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distbp.comm.base import Communicator, Name
from distbp.data.evaluation import Block, blocks, evaluation
from distbp.data.split import Split
from distbp.reduction.reducer import exact_rows
from distbp.workloads.base import Workload


@torch.no_grad()
def evaluate(
    workload: Workload, split: Split, comm: Communicator, *, batch_size: int, step: int
) -> dict[str, float] | None:
    """The mean loss and the metrics of a split, over all workers: each worker takes some of its blocks.

    None, on every worker, where one is asked to stop.
    """
    name = Name(step, "evaluate")
    mine: dict[int, Measured] = {}
    with evaluating(workload.module):
        for block in evaluation(split, batch_size=batch_size, rank=comm.rank, size=comm.size, device=comm.device):
            if comm.board.asked:
                break
            mine[block.number] = measure(workload, block)
    first = next(iter(mine.values()), None)
    told = comm.gather_json([comm.board.asked, [list(first.sums), first.scores.shape[1]] if first else None], name=name)
    if any(asked for asked, _ in told):
        return None
    names, width = next(shape for _, shape in told if shape)
    sums = torch.zeros(blocks(len(split), batch_size), len(names), dtype=torch.float64, device=comm.device)
    scores = torch.zeros(len(split) if width else 0, width, dtype=torch.float64, device=comm.device)
    for number, measured in mine.items():
        sums[number] = torch.stack([measured.sums[key] for key in names])
        if width:
            scores[number * batch_size : (number + 1) * batch_size] = measured.scores
    totals = dict(zip(names, exact_rows(sums, comm, name=name).sum(dim=0).tolist(), strict=True))
    count = totals.pop("count") or 1.0  # every label may be ignored
    everyones = exact_rows(scores, comm, name=name) if width else scores
    return dict(workload.summary({key: total / count for key, total in totals.items()}, everyones.cpu()))


class Measured(NamedTuple):
    """What one block of N samples came to: sums by name, and the scores of each sample, (N, k)."""

    sums: Mapping[str, Tensor]
    scores: Tensor


def measure(workload: Workload, block: Block) -> Measured:
    """One block: the loss, the metrics, the count by which they are divided, and the scores, if there are any."""
    output = workload.module(*block.inputs)
    loss_sum, count = workload.loss(output, block.target)
    sums = {"loss": loss_sum, "count": count, **workload.metrics(output, block.target)}
    wide = {key: torch.as_tensor(value, dtype=torch.float64, device=loss_sum.device) for key, value in sums.items()}
    return Measured(wide, workload.scores(output, block.target) if workload.scores else loss_sum.new_empty(0, 0))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and then as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
