"""A fixed cut of labelled samples into a training and a test split, with every class in both by the same share."""

import numpy as np

from distbp.data import order

SPLIT_SEED = 0  # of the cut itself: no job's seed moves a sample from one split to the other
TEST_SHARE = 5  # one sample in five is for the test


def stratified(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples for training and those for testing, each in ascending order: ``n_c // 5`` of class c are for testing.

    labels (n) of small non-negative integers -> (n - m), (m) int64. A function of the labels alone.
    """
    tests = [_chosen(np.flatnonzero(labels == label), int(label)) for label in np.unique(labels)]
    test = np.sort(np.concatenate(tests))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _chosen(samples: np.ndarray, label: int) -> np.ndarray:
    first = order.permutation(len(samples), seed=SPLIT_SEED, epoch=label)[: len(samples) // TEST_SHARE]
    return np.take(samples, first)
