"""Exact evaluation: sums over every sample once, in an order that does not depend on the number of workers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distbp.comm.base import Communicator, Name
from distbp.data.evaluation import Block, blocks, evaluation
from distbp.data.part import State
from distbp.data.split import Split
from distbp.errors import RequestError
from distbp.precision import FP32, Precision
from distbp.program.sum_loss import counted, summed
from distbp.reduction.reducer import exact_rows
from distbp.workloads.base import Workload

OURS = {"loss", "count", "counted"}  # sums of each block that are no metric's


@torch.no_grad()
def first_sample(workload: Workload, split: Split, *, device: torch.device, precision: Precision) -> "Measured":
    """A split's first sample alone. Raises RequestError for metrics and scores that are none."""
    with evaluating(workload.module):
        block = next(evaluation(split, batch_size=1, rank=0, size=1, device=device))
        return measure(workload, block, (), precision)[0]


def metrics_of(workload: Workload, sums: Mapping[str, Tensor], scores: Tensor) -> dict[str, float]:
    """The mean loss and the metrics, from the sums over all blocks and the scores of all samples."""
    totals = {key: total.item() for key, total in sums.items()}
    of_loss, of_metrics = (totals.pop(key) or 1.0 for key in ("count", "counted"))  # every label may be ignored
    means = {key: total / (of_loss if key == "loss" else of_metrics) for key, total in totals.items()}
    return {name: float(value) for name, value in workload.summary(means, scores.double().cpu()).items()}


@torch.no_grad()
def evaluate(
    workload: Workload, split: Split, comm: Communicator, *, batch_size: int, step: int, precision: Precision = FP32
) -> dict[str, float] | None:
    """The mean loss and the metrics of a split, over all workers: each worker takes some of its blocks.

    None, on every worker, where one is asked to stop.
    """
    name = Name(step, "evaluate")
    mine: list[Measured] = []
    state: State = ()
    with evaluating(workload.module):
        for block in evaluation(split, batch_size=batch_size, rank=comm.rank, size=comm.size, device=comm.device):
            if comm.board.asked:
                break
            measured, state = measure(workload, block, state, precision)
            mine.append(measured)
    first = next(iter(mine), None)
    told = comm.gather_json([comm.board.asked, [list(first.sums), first.scores.shape[1]] if first else None], name=name)
    if any(asked for asked, _ in told):
        return None
    names, width = next(shape for _, shape in told if shape)
    rows, examples = blocks(len(split), batch_size) * split.segments, len(split) * split.segments
    sums = torch.zeros(rows, len(names), dtype=torch.float64, device=comm.device)
    scores = torch.zeros(examples if width else 0, width, dtype=torch.float64, device=comm.device)
    for measured in mine:
        sums[measured.number] = torch.stack([measured.sums[key] for key in names])
        if width:
            scores[measured.first : measured.first + len(measured.scores)] = measured.scores
    totals = dict(zip(names, exact_rows(sums, comm, name=name).sum(dim=0), strict=True))
    return metrics_of(workload, totals, exact_rows(scores, comm, name=name) if width else scores)


class Measured(NamedTuple):
    """What block ``number``, of N samples, came to: sums by name, and the scores of each sample, (N, k)."""

    number: int
    first: int  # so many examples come before it
    sums: Mapping[str, Tensor]
    scores: Tensor


def measure(workload: Workload, block: Block, state: State, precision: Precision) -> tuple[Measured, State]:
    """One block: the loss, the metrics, the counts by which they are divided, and the scores, if there are any.

    ``state`` is what the block before has left; what this one leaves is returned.
    """
    state = workload.begin(len(block.inputs[0])) if block.begins else state
    with precision.autocast(block.inputs[0].device):
        output = precision.widened(workload.module(*block.inputs, *state))
        if state:
            output, state = output
        loss_sum, count = summed(workload.loss, output, block.inputs, block.target)
    metrics = workload.metrics(output, block.target)
    if taken := OURS & metrics.keys():
        raise RequestError("metrics", min(taken), "another name is needed: it is that of the loss, or of a count")
    sums = {"loss": loss_sum, "count": count, "counted": counted(workload.loss, block.target, count), **metrics}
    wide = {key: torch.as_tensor(value, dtype=torch.float64, device=loss_sum.device) for key, value in sums.items()}
    scores = workload.scores(output, block.target) if workload.scores else loss_sum.new_empty(0, 0)
    if workload.scores and (scores.dim() != 2 or len(scores) != len(block.inputs[0])):
        allowed = f"a row of numbers for each of the {len(block.inputs[0])} samples is needed, (N, k)"
        raise RequestError("scores", tuple(scores.shape), allowed)
    return Measured(block.number, block.first, wide, scores), state


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
