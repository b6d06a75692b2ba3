"""The sections of a request: keys that belong together, each with its type and range."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from distbp.bounds import MetricRule, NonNegative, Positive

NAME_BYTES = 255  # the longest name of a file that file systems take
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")  # how one begins: https://, s3://


def _expanded(path: str) -> str:
    if ADDRESS.match(path):
        raise ValueError("addresses are neither read nor written")
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:  # ~nobody
        raise ValueError(str(error)) from None
    if "\0" in path or any(len(os.fsencode(name)) > NAME_BYTES for name in expanded.parts):
        raise ValueError("no file can have this name")
    return str(expanded)


Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Average = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Rounds = Annotated[int, Field(ge=2, le=2**31 - 1)]  # a spread needs two
Rows = Annotated[int, Field(ge=10_000, le=2**31 - 1)]
SumBytes = Annotated[int, Field(ge=4096, le=2**31 - 1)]
No = Annotated[Literal[False], Field(json_schema_extra={"const": "false"})]  # as it is typed
PathText = Annotated[str, Field(min_length=1, json_schema_extra={"format": "path"}), AfterValidator(_expanded)]


class Section(BaseModel):
    """Keys that belong together. It cannot be changed; a changed copy is made by ``model_copy(update=...)``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Engine(Section):
    """How a worker computes its gradients."""

    name: Literal["manual", "autograd"]
    fallback: Literal["none", "autograd"] = "none"  # a setting of the manual engine alone


class Comm(Section):
    """What the workers speak through."""

    name: Literal["auto", "local", "mpi", "torch"]
    timeout: Seconds
    ranks_per_node: Count | None


class Reduction(Section):
    """How gradients are summed."""

    name: Literal["ordered", "library"]
    bucket_bytes: Count
    compression: Literal["none", "bf16", "fp16", "int8", "powersgd", "topk"]
    rank: Count
    fraction: Share


class Data(Section):
    """Where samples come from."""

    path: PathText | None
    cache: PathText


class Checkpoint(Section):
    """When the state of a run is saved."""

    every: Count | None
    keep: Count
    best: MetricRule | None


class Evaluate(Section):
    """When and on what a run is evaluated."""

    every: Literal["never"] | Count
    split: str


class StopEarly(Section):
    """When a training ends whose evaluations bring nothing better."""

    patience: Count | None
    metric: MetricRule


class Guards(Section):
    """When the workers compare their weights, and what becomes of gradients that are not numbers."""

    every: Count | None
    nonfinite: Literal["stop", "skip"]


class Clip(Section):
    """How far a step's gradients may go."""

    norm: Positive | None
    value: Positive | None


class Averaged(Section):
    """The average of the weights, with which a run is evaluated."""

    decay: Average | None


class ParameterGroups(Section):
    """Parameters that the optimizer treats otherwise."""

    decay: Literal["all", "matrices"]
    rates: dict[str, NonNegative] | None


class RangeTest(Section):
    """What ``distbp find_lr`` tries."""

    lowest: Positive
    highest: Positive
    steps: Rounds


class Log(Section):
    """What a run writes down."""

    every: Count
    layers: Count | None
    tensorboard: bool


class Bench(Section):
    """What ``distbp bench`` measures, and how often."""

    models: Literal["all"] | tuple[str, ...]
    rounds: Rounds
    largest: SumBytes
    tallest: Rows
    compile: Literal["auto"] | No
