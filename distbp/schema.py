"""What a job is asked to do: every key with its type and range.

``conf/`` gives the keys their defaults and meanings. They have no default here: a key that is deleted is missed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from distbp import constructor
from distbp.bench.names import MODELS
from distbp.errors import RequestError, nearest
from distbp.refusal import MISSING, allowed, check, misfit, nearest_key, schema_of, shown, unknown

NAME_BYTES = 255  # the longest name of a file that file systems take


def _expanded(path: str) -> str:
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
Rounds = Annotated[int, Field(ge=2, le=2**31 - 1)]  # a spread needs two
Rows = Annotated[int, Field(ge=10_000, le=2**31 - 1)]
SumBytes = Annotated[int, Field(ge=4096, le=2**31 - 1)]
No = Annotated[Literal[False], Field(json_schema_extra={"const": "false"})]  # as it is typed
Rule = Annotated[str, Field(pattern=r"^(max|min):\w+$", json_schema_extra={"format": "metric, as max:accuracy"})]
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
    best: Rule | None


class Evaluate(Section):
    """When and on what a run is evaluated."""

    every: Literal["never"] | Count
    split: str


class Guards(Section):
    """When the workers compare their weights."""

    every: Count | None


class Log(Section):
    """What a run writes down."""

    every: Count


class Bench(Section):
    """What ``distbp bench`` measures, and how often."""

    models: Literal["all"] | tuple[str, ...]
    rounds: Rounds
    largest: SumBytes
    tallest: Rows
    compile: Literal["auto"] | No


class Request(Section):
    """A job, checked. JSON in both directions: ``model_dump_json`` and ``model_validate_json``.

    ``workload``, ``optimizer`` and ``schedule`` are constructor calls: ``_target_``, its arguments, and a ``name``.
    """

    shards: Literal["auto"] | Count
    batch_size: Count
    micro_batches: Count
    epochs: Count
    steps: Count | None
    seed: Seed
    precision: Literal["fp32"]
    device: Literal["auto", "cpu", "cuda"]
    threads: Literal["auto"] | Count
    workers: Count | None
    data: Data
    run_dir: PathText | None
    checkpoint: Checkpoint
    resume: Literal["latest"] | PathText | None
    resume_allow: tuple[str, ...]
    evaluate: Evaluate
    guards: Guards
    log: Log
    bench: Bench
    output: PathText | None
    engine: Engine
    comm: Comm
    reduction: Reduction
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    workload: dict[str, Any]
    overrides: tuple[str, ...] = ()  # what the user typed for this job


def from_config(plain: dict[str, Any], overrides: Sequence[str] = ()) -> Request:
    """The request that a composed configuration makes. Raises RequestError for the first thing that is wrong."""
    known = known_keys(plain)
    request = Request(**_values(Request, plain, "", known), overrides=tuple(overrides))
    _check_together(request, known)
    calls = {name: constructor.checked(name, plain[name]) for name in constructor.GIVEN}
    return request.model_copy(update=calls)


def known_keys(plain: Mapping[str, Any]) -> list[str]:
    """Every dotted key that may be set, with the arguments of the calls in ``plain``."""
    calls = [(name, plain.get(name)) for name in constructor.GIVEN]
    arguments = [f"{name}.{key}" for name, node in calls if isinstance(node, Mapping) for key in node]
    return [key for key in (*_field_keys(Request, ""), *arguments) if key.rpartition(".")[2] not in constructor.LABELS]


def _field_keys(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in _fields(section).items():
        yield prefix + name
        if nested := _section(field):
            yield from _field_keys(nested, f"{prefix}{name}.")


def _values(section: type[Section], plain: Any, prefix: str, known: list[str]) -> dict[str, Any]:
    """The checked values of a section, a nested section as one."""
    if not isinstance(plain, Mapping):
        raise misfit(prefix.rstrip("."), plain, section.model_json_schema())
    fields = _fields(section)
    for name, value in plain.items():
        if name not in fields:
            raise unknown(f"{prefix}{name}", value, known)
    for name, field in fields.items():
        if name not in plain and field.is_required():
            raise RequestError(prefix + name, MISSING, f"{allowed(schema_of(_type(field)))} is needed")
    return {name: _value(fields[name], value, prefix + name, known) for name, value in plain.items()}


def _value(field: FieldInfo, value: Any, key: str, known: list[str]) -> Any:
    nested = _section(field)
    return nested(**_values(nested, value, f"{key}.", known)) if nested else check(key, value, _type(field))


def _fields(section: type[Section]) -> dict[str, FieldInfo]:
    return {name: field for name, field in section.model_fields.items() if name != "overrides"}


def _section(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _type(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _check_together(request: Request, known: list[str]) -> None:
    """Refuse keys that are right each by itself but not together."""
    workers, shards, comm = request.workers, request.shards, request.comm.name
    if workers is not None and shards != "auto" and workers > shards:
        raise RequestError("workers", workers, f"at most shards={shards} is allowed")
    if workers is not None and workers > 1 and comm == "local":
        raise RequestError("comm", comm, f"auto, mpi or torch is allowed with workers={workers}")
    if request.micro_batches > request.batch_size:
        raise RequestError(
            "micro_batches", request.micro_batches, f"at most batch_size={request.batch_size} is allowed"
        )
    if request.engine.name == "autograd" and request.engine.fallback != "none":
        raise RequestError("engine.fallback", request.engine.fallback, "only engine=manual has one")
    if request.reduction.name == "library" and request.reduction.compression != "none":
        raise RequestError("reduction.compression", request.reduction.compression, "only reduction=ordered has one")
    if request.resume == "latest" and request.run_dir is None:
        raise RequestError("resume", "latest", "run_dir=PATH is needed with it, to say of which run")
    if request.resume_allow and request.resume is None:
        raise RequestError("resume_allow", shown(list(request.resume_allow)), "only with resume=PATH or resume=latest")
    _check_models(request.bench.models)
    for key in request.resume_allow:
        if key not in known:
            raise RequestError(
                "resume_allow", key, "only keys of a request are allowed", nearest=nearest_key(key, known)
            )


def _check_models(models: str | Sequence[str]) -> None:
    allowed = f"all or a list of {', '.join(MODELS)} is allowed"
    if not models:
        raise RequestError("bench.models", "[]", allowed)
    for name in () if isinstance(models, str) else models:
        if name not in MODELS:
            raise RequestError("bench.models", shown(name), allowed, nearest=nearest(name, MODELS))


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted key of a nested configuration with its value."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
