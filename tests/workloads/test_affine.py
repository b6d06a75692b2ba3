"""The laws of the distortion: what it computes, and that a picture does not feel its neighbours."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distbp.workloads.affine import Affine

MIDDLE = 0.5  # the draw that distorts nothing


def pictures(n: int, height: int = 28, width: int = 28) -> Tensor:
    return torch.rand(n, 1, height, width, generator=torch.Generator().manual_seed(n))


def draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 6))


def one_draw(number: int, value: float) -> np.ndarray:
    row = np.full((1, 6), MIDDLE)
    row[0, number] = value
    return row


limits = st.builds(
    Affine,
    rotation=st.floats(0, 179),
    scale=st.floats(0, 0.9),
    shear=st.floats(0, 2),
    shift=st.floats(0, 30),
)


@given(limits, st.integers(2, 40), st.integers(0, 1000), st.data())
def test_a_picture_comes_out_the_same_whatever_surrounds_it(
    affine: Affine, n: int, seed: int, data: st.DataObject
) -> None:
    many, given_draws = pictures(n), draws(n, seed)
    together = affine(many, given_draws)
    chosen = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8))
    assert torch.equal(affine(many[chosen], given_draws[chosen]), together[chosen])
    for i in chosen[:2]:
        assert torch.equal(affine(many[i : i + 1], given_draws[i : i + 1])[0], together[i])


def test_a_picture_comes_out_the_same_on_any_number_of_threads() -> None:
    affine, threads = Affine(20.0, 0.2, 0.2, 3.0), torch.get_num_threads()
    try:
        results = []
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append(affine(pictures(300), draws(300)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def bilinear(picture: np.ndarray, row: float, column: float) -> float:
    """The value of a picture between its pixels, 0 outside of it: the slow twin of grid_sample."""
    total = 0.0
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            if 0 <= r < picture.shape[0] and 0 <= c < picture.shape[1]:
                total += picture[r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def distorted(affine: Affine, picture: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The definition, pixel by pixel, in float64, with a matrix product and a sine; for square pictures."""
    height, width = picture.shape
    angle = 2 * math.atan(math.tan(math.radians(affine.rotation) / 2) * u[0])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shear = np.array([[1, affine.shear * u[3]], [0, 1]])
    scale = np.diag([1 / (1 + affine.scale * u[1]), 1 / (1 + affine.scale * u[2])])
    result = np.empty_like(picture)
    for row in range(height):
        for column in range(width):
            p = np.array([column - (width - 1) / 2, row - (height - 1) / 2])
            x, y = turn @ shear @ scale @ p + affine.shift * u[4:6]
            result[row, column] = bilinear(picture, y + (height - 1) / 2, x + (width - 1) / 2)
    return result


@pytest.mark.parametrize("affine", [Affine(15.0, 0.2, 0.25, 2.0), Affine(170.0, 0.5, 1.0, 8.0)])
def test_it_is_the_documented_map(affine: Affine) -> None:
    originals, rows = pictures(3, 12, 12), draws(3)
    for picture, result, row in zip(originals, affine(originals, rows), rows, strict=True):
        expected = distorted(affine, picture[0].double().numpy(), 2 * row - 1)
        np.testing.assert_allclose(result[0].numpy(), expected, atol=2e-5)


@given(limits)
def test_the_middle_of_every_range_is_the_picture_itself(affine: Affine) -> None:
    torch.testing.assert_close(affine(pictures(2), np.full((2, 6), MIDDLE)), pictures(2), atol=2e-5, rtol=0)


def test_a_right_angle_turns_the_picture() -> None:
    turned = Affine(90.0, 0.0, 0.0, 0.0)(pictures(1), one_draw(0, 1.0))
    torch.testing.assert_close(turned, torch.rot90(pictures(1), 1, (2, 3)), atol=2e-5, rtol=0)


def test_a_shift_is_in_pixels_and_brings_in_zeros() -> None:
    moved = Affine(0.0, 0.0, 0.0, 2.0)(pictures(1), one_draw(4, 1.0))
    torch.testing.assert_close(moved[..., :-2], pictures(1)[..., 2:], atol=2e-5, rtol=0)
    assert moved[..., -2:].abs().max() < 2e-5


def test_each_draw_has_a_limit_of_its_own() -> None:
    all_on = Affine(30.0, 0.3, 0.3, 3.0)
    all_off = Affine(0.0, 0.0, 0.0, 0.0)
    for number in range(Affine.draws):
        row = one_draw(number, 0.9)
        assert (all_on(pictures(1), row) - pictures(1)).abs().max() > 0.05
        torch.testing.assert_close(all_off(pictures(1), row), pictures(1), atol=2e-5, rtol=0)
