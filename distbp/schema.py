"""What a job is asked to do: every key with its type and range.

``conf/`` gives the keys their defaults and meanings. They have no default here: a key that is deleted is missed.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from distbp import constructor
from distbp.bench.names import MODELS
from distbp.errors import RequestError, nearest
from distbp.refusal import MISSING, allowed, check, misfit, nearest_key, schema_of, shown, unknown
from distbp.sections import (
    Averaged,
    Bench,
    Checkpoint,
    Clip,
    Comm,
    Count,
    Data,
    Engine,
    Evaluate,
    Guards,
    Log,
    ParameterGroups,
    PathText,
    RangeTest,
    Reduction,
    Section,
    Seed,
    StopEarly,
)


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
    lr_scaling: Literal["none", "linear", "sqrt"]
    lr_batch_size: Count | None
    precision: Literal["fp32", "bf16", "fp16"]
    device: Literal["auto", "cpu", "cuda"]
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)]
    workers: Count | None
    data: Data
    run_dir: PathText | None
    checkpoint: Checkpoint
    resume: Literal["latest"] | PathText | None
    resume_allow: tuple[str, ...]
    evaluate: Evaluate
    stop_early: StopEarly
    guards: Guards
    clip: Clip
    groups: ParameterGroups
    average: Averaged
    log: Log
    find_lr: RangeTest
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
    return _as_typed(request.model_copy(update=calls), plain, overrides)


def _as_typed(request: Request, plain: Mapping[str, Any], overrides: Sequence[str]) -> Request:
    """With texts that look like numbers as they were typed: ``run_dir=2026_11_30`` is no folder ``20261130``."""
    made, changed = request.model_dump(), False
    for line in overrides:
        key, _, typed = line.partition("=")
        *path, leaf = key.lstrip("+").split(".")
        read, held = reduce(_within, path, plain), reduce(_within, path, made)
        if isinstance(_within(read, leaf), int | float) and isinstance(_within(held, leaf), str):
            held[leaf], changed = typed, True
    return Request.model_validate(made) if changed else request


def _within(section: Any, name: str) -> Any:
    return section.get(name) if isinstance(section, dict) else None


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
    told = [Field(json_schema_extra=field.json_schema_extra)] if field.json_schema_extra else []
    parts = [*field.metadata, *told]
    return Annotated[field.annotation, *parts] if parts else field.annotation


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
    _check_compression(request)
    _check_evaluations(request)
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


def _check_compression(request: Request) -> None:
    if (compression := request.reduction.compression) == "none":
        return
    if request.reduction.name == "library":
        raise RequestError("reduction.compression", compression, "only reduction=ordered has one")
    if request.guards.nonfinite == "skip":
        raise RequestError("guards.nonfinite", "skip", "stop is allowed with reduction.compression, which remembers")
    if request.precision == "fp16":
        allowed = "fp32 or bf16 is allowed with reduction.compression, which remembers what a step has skipped"
        raise RequestError("precision", "fp16", allowed)


def _check_evaluations(request: Request) -> None:
    if request.evaluate.every != "never":
        return
    if request.stop_early.patience is not None:
        raise RequestError("evaluate.every", "never", "a number is needed with stop_early.patience")
    if request.schedule.get("name") == "plateau":
        raise RequestError("evaluate.every", "never", "a number is needed with schedule=plateau")


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
