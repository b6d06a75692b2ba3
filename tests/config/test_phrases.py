"""What an annotation admits, said in words, and what it takes."""

from typing import Any, Literal

import pytest

from distbp.bounds import Fraction, NonNegative, NonNegativeInt, Positive, PositiveInt
from distbp.errors import RequestError
from distbp.refusal import allowed, check, nearest_key, schema_of, shown

PHRASES = [
    (Positive, "a finite number greater than 0"),
    (NonNegative, "a finite number of at least 0"),
    (Fraction, "a finite number of at least 0 and less than 1"),
    (PositiveInt, "a whole number greater than 0"),
    (NonNegativeInt, "a whole number of at least 0"),
    (bool, "true or false"),
    (str, "a text"),
    (str | None, "a text or null"),
    (Literal["a"], "a"),
    (Literal["a", "b"], "one of a, b"),
    (Literal["auto"] | PositiveInt, "auto or a whole number greater than 0"),
    (list[PositiveInt], "a list, each item a whole number greater than 0"),
    (tuple[int, ...], "a list, each item a whole number"),
    (tuple[int, str], "a list of a whole number, a text"),
    (list[Any], "a list"),
    (Any, "a value"),
]


@pytest.mark.parametrize(("annotation", "phrase"), PHRASES, ids=[phrase for _, phrase in PHRASES])
def test_phrase(annotation: Any, phrase: str) -> None:
    assert allowed(schema_of(annotation)) == phrase


TAKEN = [
    (Positive, "1e-3", 1e-3),
    (PositiveInt, 8.0, 8),
    (PositiveInt, "8", 8),
    (bool, True, True),
    (bool, "no", False),
    (str, 2026, "2026"),
    (tuple[int, ...], [1, 2], (1, 2)),
    (list[bool], [True], [True]),
    (Any, {"a": [1, None]}, {"a": [1, None]}),
]


@pytest.mark.parametrize(("annotation", "value", "taken"), TAKEN)
def test_taken(annotation: Any, value: Any, taken: Any) -> None:
    found = check("key", value, annotation)
    assert found == taken
    assert type(found) is type(taken)


REFUSED = [
    (Positive, True),
    (Positive, float("nan")),
    (Positive, float("inf")),
    (Positive, float("-inf")),
    (PositiveInt, True),
    (PositiveInt, 1.5),
    (PositiveInt, "1.5"),
    (PositiveInt, None),
    (list[PositiveInt], [1, True]),
    (dict[str, int], {"a": True}),
    (str, None),
    (str, True),
    (bool, 2),
]


@pytest.mark.parametrize(("annotation", "value"), REFUSED)
def test_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(RequestError, match=r"key=.* is allowed"):
        check("key", value, annotation)


NEAREST = [
    ("lr", "optimizer.lr"),
    ("lrr", "optimizer.lr"),
    ("optimizer.lrr", "optimizer.lr"),
    ("optimiser.lr", "optimizer.lr"),
    ("batchsize", "batch_size"),
    ("zzzzzz", None),
]


@pytest.mark.parametrize(("key", "near"), NEAREST)
def test_nearest_key(key: str, near: str | None) -> None:
    assert nearest_key(key, ["batch_size", "optimizer", "optimizer.lr", "optimizer.momentum"]) == near


@pytest.mark.parametrize(
    ("value", "typed"),
    [(None, "null"), (True, "true"), ("", '""'), (" ", '" "'), ([1, "a"], '[1, "a"]'), (1e-8, "1e-08")],
)
def test_values_are_shown_as_they_are_typed(value: Any, typed: str) -> None:
    assert shown(value) == typed
