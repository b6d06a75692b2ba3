"""A part of a configuration that is a constructor call: ``_target_`` and its arguments.

The constructor's annotations are the schema of its YAML file. ``name`` is what the user chose it by; some arguments are
not the user's to give, they come from elsewhere in the job.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

from distbp.errors import RequestError
from distbp.refusal import MISSING, allowed, check, schema_of, unknown

GIVEN: Mapping[str, Collection[str]] = {
    "optimizer": ("parameters",),
    "schedule": (),
    "workload": ("path", "cache", "seed"),
}
"""The calls of a request, each with the arguments that the job itself gives."""

LABELS = ("name", "_target_")
"""Keys of a choice that are not the user's to set, nor its arguments."""


def locate(key: str, node: Mapping[str, Any]) -> Callable[..., Any]:
    """What ``_target_`` of the call at ``key`` names."""
    if "_target_" not in node:
        raise RequestError(key, MISSING, f"a choice {key}=... is needed")
    path = str(node["_target_"])
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(f"{key}._target_", path, f"a function that can be imported is needed ({error})") from error
    assert callable(found), path
    return found  # type: ignore[no-any-return]


def arguments(key: str, node: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The arguments of the call at ``key``, each as its annotation takes it.

    Raises RequestError for an argument that does not exist, is missing, or has a wrong type or range.
    """
    signature = inspect.signature(locate(key, node), eval_str=True).parameters
    parameters = {name: parameter for name, parameter in signature.items() if name not in given}
    written = {name: value for name, value in node.items() if name not in LABELS}
    for name, value in written.items():
        if name not in parameters:
            raise unknown(f"{key}.{name}", value, [f"{key}.{known}" for known in parameters])
    for name, parameter in parameters.items():
        if name not in written and parameter.default is parameter.empty:
            phrase = allowed(schema_of(annotation(parameter)))
            raise RequestError(f"{key}.{name}", MISSING, f"{phrase} is needed")
    return {name: check(f"{key}.{name}", value, annotation(parameters[name])) for name, value in written.items()}


def annotation(parameter: inspect.Parameter) -> Any:
    """What a parameter takes."""
    return Any if parameter.annotation is parameter.empty else parameter.annotation


def checked(key: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """The call at ``key``, with its arguments checked."""
    return {**node, **arguments(key, node, GIVEN[key])}
