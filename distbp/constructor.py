"""A part of a configuration that is a constructor call: ``_target_`` and its arguments.

The constructor's annotations are the schema of its YAML file. ``name`` is what the user chose it by; some arguments are
not the user's to give, they come from elsewhere in the job.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

from distbp.errors import RequestError
from distbp.refusal import MISSING, allowed, check, schema_of, shown, unknown

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
    except Exception as error:  # whatever a module of somebody else's does when it is imported
        raise _uncallable(key, path, f"{type(error).__name__}: {error}") from error
    if not callable(found):
        raise _uncallable(key, path, f"this is {shown(str(found))}")
    return found  # type: ignore[no-any-return]


def parameters(key: str, node: Mapping[str, Any], given: Collection[str]) -> dict[str, inspect.Parameter]:
    """The parameters of the call at ``key`` that are the user's. It must have those that are ``given``, too."""
    called = locate(key, node)
    try:
        found = dict(inspect.signature(called, eval_str=True).parameters)
    except (ValueError, NameError, TypeError) as error:
        raise _uncallable(key, node["_target_"], f"its signature cannot be read: {error}") from error
    missing = [name for name in given if name not in found]
    if missing:
        raise _uncallable(key, node["_target_"], f"it does not take {', '.join(missing)}")
    return {name: parameter for name, parameter in found.items() if name not in given}


def _uncallable(key: str, path: str, why: str) -> RequestError:
    return RequestError(f"{key}._target_", path, f"a function that can be imported and called is needed ({why})")


def arguments(key: str, node: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The arguments of the call at ``key``, each as its annotation takes it.

    Raises RequestError for an argument that does not exist, is missing, or has a wrong type or range.
    """
    taken = parameters(key, node, given)
    written = {name: value for name, value in node.items() if name not in LABELS}
    for name, value in written.items():
        if name not in taken:
            raise unknown(f"{key}.{name}", value, [f"{key}.{known}" for known in taken])
    for name, parameter in taken.items():
        if name not in written and parameter.default is parameter.empty:
            phrase = allowed(schema_of(annotation(parameter)))
            raise RequestError(f"{key}.{name}", MISSING, f"{phrase} is needed")
    return {name: check(f"{key}.{name}", value, annotation(taken[name])) for name, value in written.items()}


def annotation(parameter: inspect.Parameter) -> Any:
    """What a parameter takes."""
    return Any if parameter.annotation is parameter.empty else parameter.annotation


def checked(key: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """The call at ``key``, with its arguments checked."""
    if "_target_" in node and not isinstance(node.get("name"), str):
        raise RequestError(f"{key}.name", MISSING, "a text, the name of the choice, is needed in its YAML file")
    return {**node, **arguments(key, node, GIVEN[key])}
