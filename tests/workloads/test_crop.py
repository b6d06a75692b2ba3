"""The laws of the moved and mirrored pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distbp.workloads.crop import FlippedCrop


def by_hand(picture: np.ndarray, padding: int, draws: np.ndarray) -> np.ndarray:
    """The definition, a pixel at a time."""
    height, width = picture.shape
    down, right = (int(u * (2 * padding + 1)) - padding for u in draws[:2])
    result = np.zeros_like(picture)
    for row in range(height):
        for column in range(width):
            r, c = row + down, (width - 1 - column if draws[2] < 0.5 else column) + right
            if 0 <= r < height and 0 <= c < width:
                result[row, column] = picture[r, c]
    return result


@given(st.integers(0, 4), st.integers(1, 8), st.integers(0, 1000))
def test_it_is_the_documented_map(padding: int, n: int, seed: int) -> None:
    draws = np.random.default_rng(seed).random((n, 3))
    pictures = torch.rand(n, 1, 6, 9, generator=torch.Generator().manual_seed(seed))
    changed = FlippedCrop(padding)(pictures, draws)
    for picture, result, row in zip(pictures, changed, draws, strict=True):
        assert np.array_equal(result[0].numpy(), by_hand(picture[0].numpy(), padding, row))


@pytest.mark.parametrize("edge", [0.0, 1 - 2.0**-53])
def test_the_ends_of_the_draws_stay_inside(edge: float) -> None:
    pictures = torch.ones(1, 1, 5, 5)
    assert FlippedCrop(2)(pictures, np.full((1, 3), edge)).sum() == 9
