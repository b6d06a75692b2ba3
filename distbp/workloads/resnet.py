"""Residual networks on a folder of class folders, or on Fashion-MNIST written as one."""

from typing import Annotated, Literal

from pydantic import Field

from distbp.bounds import Fraction, NonNegativeInt, Positive, PositiveInt
from distbp.data.class_folders import read_class_folders
from distbp.data.fashion_folder import fashion_folder
from distbp.data.picture import require_pillow
from distbp.data.readers import Readers
from distbp.errors import RequestError
from distbp.workloads.announce import announce
from distbp.workloads.base import Workload
from distbp.workloads.photographs import photographs
from distbp.workloads.pictures import cross_entropy, top_five
from distbp.workloads.residual import LARGE
from distbp.workloads.residual import resnet as net
from distbp.workloads.soft_labels import Alpha, softened

LEAST_SIDE = {"small": 4, "large": 32}  # pixels of a net's pictures: one is left of them in the end
MIN_PART = 2  # batch norm has no variance of one

Channels = Annotated[list[float], Field(min_length=1, max_length=3)]
Deviations = Annotated[list[Positive], Field(min_length=1, max_length=3)]


def resnet(
    *,
    depth: Literal[20, 32, 56, 18, 34, 50],
    side: PositiveInt,
    mean: Channels,
    deviation: Deviations,
    padding: NonNegativeInt | None,
    readers: PositiveInt,
    label_smoothing: Fraction = 0.0,
    mixup: Alpha = 0.0,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """ResNet-20, 32 or 56 for small pictures, 18, 34 or 50 for large ones, on the class folders of ``path``.

    Pictures of ``side`` pixels, of one grey channel or three colours, as ``mean`` has numbers, standardised by ``mean``
    and ``deviation``. Those for training are moved by up to ``padding`` pixels (He et al. 2015, section 4.2); without
    it a part of each is drawn, and the middle is evaluated (section 3.4). Half are mirrored.
    """
    least = LEAST_SIDE["large" if depth in LARGE else "small"]
    if side < least:
        raise RequestError("workload.side", side, f"at least {least} pixels are needed for depth={depth}")
    if len(mean) not in (1, 3) or len(deviation) != len(mean):
        raise RequestError("workload.mean", mean, "one number, or three, is needed, and as many of deviation")
    require_pillow()
    threads = Readers(readers)
    folders = read_class_folders(path or fashion_folder(cache, announce), cache, threads, announce)
    training, splits = photographs(folders, threads, side=side, mean=mean, deviation=deviation, padding=padding)
    made = Workload(
        module=net(depth, channels=len(mean), classes=len(folders["train"].classes), seed=seed),
        loss=cross_entropy,
        metrics=top_five,
        training=training,
        splits=splits,
        names=(folders["train"].classes,),
        min_part=MIN_PART,
    )
    return softened(made, label_smoothing=label_smoothing, mixup=mixup)
