"""How a value that does not fit its annotation is refused: pydantic's error in one sentence a user can act on."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from distbp.errors import RequestError, nearest

MISSING = "(missing)"


def check(key: str, value: Any, annotation: Any) -> Any:
    """``value`` as ``annotation`` takes it: numbers may be written as texts, but true and false are no numbers.

    Raises RequestError with ``key``.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(coerce_numbers_to_str=True))
    try:
        return adapter.validate_json(json.dumps(value), strict=_holds_boolean(value))
    except ValidationError as error:
        raise misfit(key, value, adapter.json_schema(), _reason(error)) from None


def schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON schema of what ``annotation`` admits."""
    return TypeAdapter(annotation).json_schema()


def misfit(key: str, value: Any, schema: dict[str, Any], reason: str = "") -> RequestError:
    """The refusal of a ``value`` that the JSON ``schema``, or what no schema says, the ``reason``, does not admit."""
    near = nearest(value, words(schema)) if isinstance(value, str) else None
    phrase = f"{allowed(schema)} is allowed" + (f" ({reason})" if reason else "")
    return RequestError(key, shown(value), phrase, nearest=near)


def unknown(key: str, value: Any, known: list[str]) -> RequestError:
    """The refusal of a ``key`` that does not exist among the ``known`` dotted ones."""
    return RequestError(key, shown(value), "there is no such key", nearest=nearest_key(key, known))


def nearest_key(key: str, known: list[str]) -> str | None:
    """The known dotted key that ``key`` is meant to be: its last part exactly, the whole nearly, the last part nearly.

    ``lr`` is ``optimizer.lr``; ``optimizer.lrr`` is ``optimizer.lr``; ``learning.momentun`` is ``optimizer.momentum``.
    """
    last = key.rpartition(".")[2]
    by_last = {name.rpartition(".")[2]: name for name in reversed(known)}
    if last in by_last:
        return by_last[last]
    return nearest(key, known) or by_last.get(nearest(last, by_last) or "")


def shown(value: Any) -> str:
    """``value`` as it would be typed: null, true, [1,2], and quotes where nothing could be seen."""
    if isinstance(value, str):
        return value if value.strip() else json.dumps(value)
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def words(schema: Mapping[str, Any]) -> list[str]:
    """The words that a JSON schema admits."""
    own = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    return [str(word) for word in own] + [word for branch in schema.get("anyOf", []) for word in words(branch)]


def allowed(schema: Mapping[str, Any]) -> str:
    """What a JSON schema admits, as a phrase: ``auto or a whole number greater than 0``."""
    if "anyOf" in schema:
        return " or ".join(allowed(branch) for branch in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        choices = words(schema)
        return choices[0] if len(choices) == 1 else "one of " + ", ".join(choices)
    phrases = {
        "integer": f"a whole number {_range(schema)}".strip(),
        "number": f"a finite number {_range(schema)}".strip(),
        "string": f"a {schema.get('format', 'text')}",
        "boolean": "true or false",
        "null": "null",
        "array": _items(schema),
        "object": _keys(schema),
    }
    return phrases.get(schema.get("type", ""), "a value")


def _reason(error: ValidationError) -> str:
    """What a validator of our own has said."""
    return next((str(wrong["ctx"]["error"]) for wrong in error.errors() if wrong["type"] == "value_error"), "")


def _range(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f"from {schema['minimum']} to {schema['maximum']}"
    bounds = [
        form.format(schema[word])
        for word, form in {
            "minimum": "of at least {}",
            "exclusiveMinimum": "greater than {}",
            "maximum": "at most {}",
            "exclusiveMaximum": "less than {}",
        }.items()
        if word in schema
    ]
    return " and ".join(bounds)


def _items(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return "a list of " + ", ".join(map(allowed, schema["prefixItems"]))
    return "a list, each item " + allowed(schema["items"]) if schema.get("items") else "a list"


def _keys(schema: Mapping[str, Any]) -> str:
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"a name with {allowed(schema['additionalProperties'])} for each"
    return f"one of its keys ({', '.join(schema.get('properties', ['key']))}) with a value"


def _holds_boolean(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_boolean, value.values()))
    return any(map(_holds_boolean, value)) if isinstance(value, list) else isinstance(value, bool)
