"""What a request makes of the gradients: the optimizer, the rate at which it begins, and how far it goes."""

import math

import torch
from torch.optim import Optimizer

from distbp.config import build
from distbp.constructor import locate
from distbp.errors import RequestError
from distbp.schema import Request
from distbp.training.clip import Clip
from distbp.training.data_parallel import DataParallel
from distbp.training.groups import grouped
from distbp.training.plan import Plan
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


def plan_of(request: Request) -> Plan:
    """How far to train, and what to do on the way."""
    return Plan(
        epochs=request.epochs,
        steps=request.steps,
        lr=float(request.optimizer["lr"]) * growth(request),
        batch_size=request.batch_size,
        evaluate_every=request.evaluate.every,
        checkpoint_every=request.checkpoint.every,
        keep=request.checkpoint.keep,
        best=request.checkpoint.best,
        patience=request.stop_early.patience,
        patience_of=request.stop_early.metric,
        average=request.average.decay,
        nonfinite=request.guards.nonfinite,
        looks_every=request.log.layers,
        clip=Clip(norm=request.clip.norm, value=request.clip.value),
        config=request.model_dump(mode="json") | {"threads": torch.get_num_threads()},
    )


def growth(request: Request) -> float:
    """The factor by which ``lr_scaling`` lets ``optimizer.lr`` grow with the batch (Goyal et al. 2017: linearly)."""
    if request.lr_scaling == "none":
        return 1.0
    if request.lr_batch_size is None:
        allowed = f"lr_scaling={request.lr_scaling} needs the batch size that optimizer.lr is meant for"
        raise RequestError("lr_batch_size", None, allowed)
    ratio = request.batch_size / request.lr_batch_size
    return ratio if request.lr_scaling == "linear" else math.sqrt(ratio)
