"""The fixed cut of a data set into training and test."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from distbp.data.stratified import stratified

MNIST_LABELS = np.repeat(np.arange(10), 500)  # the labels of the digits, as they stand in their file


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_every_class_is_cut_by_the_same_share(labels: list[int]) -> None:
    classes = np.array(labels)
    training, test = stratified(classes)
    assert sorted([*training, *test]) == list(range(len(labels)))
    assert all(np.all(np.diff(samples) > 0) for samples in (training, test))
    for label in set(labels):
        assert np.count_nonzero(classes[test] == label) == np.count_nonzero(classes == label) // 5


def test_the_digits_are_cut_into_4000_and_1000_as_recorded() -> None:
    training, test = stratified(MNIST_LABELS)
    assert (len(training), len(test)) == (4000, 1000)
    assert np.bincount(MNIST_LABELS[test]).tolist() == [100] * 10
    assert (
        hashlib.sha256(test.astype("<i8").tobytes()).hexdigest()
        == "4b6ad4fe30e491d5f89bbb261872714b67fd4d9ce960293c1f1552f1327c3d3c"
    )
