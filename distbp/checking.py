"""The verb ``check``: a workload and its workers, held to the law on the first batch."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from distbp.check import workers
from distbp.check.check import LAWS, Check
from distbp.check.finding import Finding
from distbp.check.report import first_bad, table, worst
from distbp.comm.base import Communicator
from distbp.comm.local import LocalCommunicator
from distbp.data.part import Part
from distbp.engines.base import Loss
from distbp.errors import JobError, RequestError
from distbp.job import build_workload, data_parallel, loader_of
from distbp.output import write
from distbp.precision import Precision
from distbp.resumption import compatible
from distbp.schema import Request
from distbp.workloads.base import Workload


def checked(request: Request, comm: Communicator) -> dict[str, Any]:
    """Every law on the first batch; the tables are printed, or written to ``output``. Collective.

    Raises JobError, with the first bad layer, if some law does not hold.
    """
    if request.engine.name != "manual":
        raise RequestError("engine", request.engine.name, "manual is allowed: check holds it against autograd")
    request = compatible(request, None, size=comm.size)
    request = request.model_copy(update={"shards": max(request.shards, 2)})  # two workers, if no more, have a part each
    workload = build_workload(request, comm)
    part = first_part(request, workload, comm)
    loss, given = with_state(workload, part)
    fallback, precision = request.engine.fallback == "autograd", Precision(request.precision)
    check = Check(workload.module, loss, given, fallback=fallback, precision=precision)
    sections = [*check.sections(), (f"{max(comm.size, 2)} workers against one", of_workers(request, workload, comm))]
    found = [finding for _, findings in sections for finding in findings]
    if comm.rank == 0:
        blocks = [f"{title}\n{table(findings)}" for title, findings in sections if findings]
        write("\n\n".join([*blocks, worst(found, LAWS)]), request.output)
    bad = first_bad(found)
    if bad:
        raise JobError(f"the first bad layer is {bad}", rank=comm.rank, step=0, phase="check")
    return {}


def first_part(request: Request, workload: Workload, comm: Communicator) -> Part:
    """The first part of the first batch, the same on every worker."""
    loader = loader_of(request, workload, LocalCommunicator(comm.device))
    return next(loader.epoch(0)).parts[0]


def with_state(workload: Workload, part: Part) -> tuple[Loss, Part]:
    """A module that carries a state as one of further inputs: what it returns besides its output, the loss leaves."""
    state = workload.begin(len(part))
    if not state:
        return workload.loss, part
    return (lambda returned, target: workload.loss(returned[0], target)), replace(part, inputs=(*part.inputs, *state))


def of_workers(request: Request, workload: Workload, comm: Communicator) -> list[Finding]:
    """What holds of the workers' sums."""
    ordered = request.reduction.name == "ordered"
    return list(workers.findings(workload.module, lambda to: sums(request, workload, to), comm, ordered=ordered))


def sums(request: Request, workload: Workload, comm: Communicator) -> Mapping[str, Tensor]:
    """The gradients of the first batch, summed over the workers of ``comm``."""
    own = replace(workload, module=copy.deepcopy(workload.module).to(comm.device))
    loader = loader_of(request, own, comm)
    parallel = data_parallel(request, own, loader, comm)
    batch = next(loader.epoch(0))
    parallel.gradients(batch.parts, batch.present, step=0)
    tables = parallel.engine.tables
    of_tables = {name: rows.dense(tables[name].detach()) for name, rows in parallel.row_gradients.items()}
    return {name: parallel.reducer.total.views[name].clone() for name in parallel.engine.emissions} | of_tables
