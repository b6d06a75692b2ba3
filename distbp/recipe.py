"""What a request makes of the gradients: the optimizer, and the rate at which it begins."""

import math

from torch.optim import Optimizer

from distbp.config import build
from distbp.constructor import locate
from distbp.errors import RequestError
from distbp.schema import Request
from distbp.training.data_parallel import DataParallel
from distbp.training.groups import grouped
from distbp.training.shaped import Shaped


def optimizer_of(request: Request, parallel: DataParallel) -> Optimizer:
    """The optimizer, of shares of the flat parameters or, if it needs shapes, of all of them on every worker."""
    optimizer: Optimizer
    if not needs_shapes(request):
        parallel.divide_update()
        optimizer = build(request.optimizer, parameters=parallel.updated)
    elif parallel.engine.tables:
        raise RequestError(
            "optimizer", request.optimizer["name"], "with tables that are marked sparse an element-wise one is needed"
        )
    else:
        optimizer = build(request.optimizer, parameters=grouped(parallel.weights.views_by_group()))
    return optimizer


def needs_shapes(request: Request) -> bool:
    """Whether its optimizer works on whole parameters."""
    made = locate("optimizer", request.optimizer)
    return isinstance(made, type) and issubclass(made, Shaped)


def scaled_rate(request: Request) -> float:
    """``optimizer.lr`` as ``lr_scaling`` lets it grow with the batch (Goyal et al. 2017: linearly)."""
    ratio = request.batch_size / request.lr_batch_size
    factor = {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[request.lr_scaling]
    return float(request.optimizer["lr"]) * factor
