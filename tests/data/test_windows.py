"""The laws of vocabularies and windows: nothing is lost, nothing is predicted twice, numbers stay in range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distbp.data import order
from distbp.data.vocabulary import UNKNOWN, Vocabulary
from distbp.data.windows import IGNORED, Windows


@given(st.integers(2, 60), st.integers(1, 12))
def test_an_evaluation_predicts_each_unit_once_from_those_before_it(n: int, context: int) -> None:
    if n <= context:
        return
    split = Windows(np.arange(n), context)
    (units,), target = split.batch(np.arange(len(split)), np.empty((len(split), 0)))
    there = target != IGNORED
    assert target[there].tolist() == list(range(1, n))
    assert (units[there] + 1).tolist() == list(range(1, n))
    assert int(units.min()) >= 0
    assert int(units.max()) < n


@given(st.integers(2, 60), st.integers(1, 12), st.integers(0, 5))
def test_training_windows_move_within_the_text_and_are_whole(n: int, context: int, epoch: int) -> None:
    if n <= context:
        return
    split = Windows(np.arange(n), context, moving=True)
    draws = order.draws(len(split), split.draws, seed=0, epoch=epoch)
    (units,), target = split.batch(np.arange(len(split)), draws)
    assert units.shape == target.shape == ((n - 1) // context, context)
    assert (target == units + 1).all()
    assert (np.diff(units.numpy(), axis=1) == 1).all()
    assert (units[:, 0].numpy() - np.arange(len(split)) * context < context).all()
    assert int(target.max()) < n


def test_a_vocabulary_is_that_of_the_training_text_alone() -> None:
    known = Vocabulary("b b a\nc a b", "words", least=2)
    assert known.symbols == [UNKNOWN, "b", "<eos>", "a"]
    assert known.encode("A d\nB").tolist() == [3, 0, 2, 1, 2]
    assert Vocabulary("abca", "characters").encode("cad").tolist() == [3, 1, 0]


@pytest.mark.parametrize("unit", ["characters", "bytes", "words"])
def test_what_was_read_in_training_is_known_again(unit: str) -> None:
    text = "Im Anfang war das Wort,\nund das Wort war bei Gott: \u00e4\u4e2d"
    known = Vocabulary(text, unit)
    codes = known.encode(text)
    assert codes.min() > 0
    assert codes.max() < len(known)
    if unit == "bytes":
        assert "".join(known.symbols[code] for code in codes).encode("latin-1").decode() == text
    if unit == "characters":
        assert "".join(known.symbols[code] for code in codes) == text
