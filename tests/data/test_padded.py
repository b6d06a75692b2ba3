"""Rows of equal length: what a row is, and that it depends on its own text alone."""

import numpy as np
import torch

from distbp.data.padded import PADDING, Padded
from distbp.data.vocabulary import Vocabulary

CODES = [np.array([5, 6]), np.array([7, 8, 9, 10, 11]), np.array([1])]
NO_DRAWS = np.empty((3, 0))


def test_rows_are_padded_and_cut() -> None:
    split = Padded(CODES, np.array([0, 1, 1]), longest=4)
    (units, lengths), labels = split.batch(np.array([2, 0, 1]), NO_DRAWS)
    assert units.tolist() == [[1, *[PADDING] * 3], [5, 6, PADDING, PADDING], [7, 8, 9, 10]]
    assert lengths.tolist() == [1, 2, 4]
    assert labels.tolist() == [1, 0, 1]
    assert units.dtype == lengths.dtype == labels.dtype == torch.int64


def test_a_row_is_the_same_whatever_stands_beside_it() -> None:
    split = Padded(CODES, np.array([0, 1, 1]), longest=7)
    (together, _), _ = split.batch(np.arange(3), NO_DRAWS)
    for number in range(3):
        (alone, _), _ = split.batch(np.array([number]), NO_DRAWS[:1])
        assert torch.equal(alone[0], together[number])


def test_tokens_are_words_and_signs_and_are_numbered_by_the_training_texts() -> None:
    vocabulary = Vocabulary("I don't, DON'T\nlike it!\nI do", "tokens", least=2)
    assert vocabulary.symbols == ["<unk>", "don't", "i"]
    assert vocabulary.encode("I\n(don't) know").tolist() == [2, 0, 1, 0, 0]
