"""Exact evaluation: sums over every sample once, in an order that does not depend on the number of workers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from distbp.comm.base import Communicator, Name
from distbp.data.evaluation import Block, blocks, evaluation
from distbp.data.split import Split
from distbp.reduction.reducer import exact_rows
from distbp.workloads.base import Workload


@torch.no_grad()
def evaluate(workload: Workload, split: Split, comm: Communicator, *, batch_size: int, step: int) -> dict[str, float]:
    """The mean loss and the metrics of a split, over all workers: each worker takes some of its blocks."""
    name = Name(step, "evaluate")
    with evaluating(workload.module):
        mine = {
            block.number: measure(workload, block)
            for block in evaluation(split, batch_size=batch_size, rank=comm.rank, size=comm.size, device=comm.device)
        }
    names = next(filter(None, comm.gather_json(list(next(iter(mine.values()), {})), name=name)))
    rows = torch.zeros(blocks(len(split), batch_size), len(names), dtype=torch.float64, device=comm.device)
    for number, sums in mine.items():
        rows[number] = torch.stack([sums[key] for key in names])
    totals = dict(zip(names, exact_rows(rows, comm, name=name).sum(dim=0).tolist(), strict=True))
    count = totals.pop("count") or 1.0  # every label may be ignored
    return {key: total / count for key, total in totals.items()}


def measure(workload: Workload, block: Block) -> dict[str, torch.Tensor]:
    """The sums of one block, by name: the loss, the metrics, and the count by which they are divided."""
    output = workload.module(*block.inputs)
    loss_sum, count = workload.loss(output, block.target)
    sums = {"loss": loss_sum, "count": count, **workload.metrics(output, block.target)}
    return {key: torch.as_tensor(value, dtype=torch.float64, device=loss_sum.device) for key, value in sums.items()}


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
