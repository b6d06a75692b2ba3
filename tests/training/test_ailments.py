"""Which layers are said to be not well, after how many looks, and how often."""

import math

import pytest

from distbp.training.ailments import LOOKS, Ailments
from distbp.training.layers import Norms

WELL = Norms(1.0, 0.01, 10.0)
SIGNS = {
    "well": (WELL, None),
    "dead": (Norms(0.0, 0.0, 10.0), "layer it is dead"),
    "dead, though it decays": (Norms(0.0, 0.01, 10.0), "layer it is dead"),
    "vanishing": (Norms(1e-7, 1e-9, 10.0), "layer it is vanishing"),
    "small": (Norms(1e-4, 0.01, 10.0), None),
    "exploding": (Norms(1.0, 2.0, 10.0), "layer it is exploding"),
    "not finite": (Norms(1.0, math.inf, math.inf), "layer it is exploding"),
    "not a number": (Norms(1.0, math.nan, 10.0), "layer it is exploding"),
    "began at zero": (Norms(1.0, 0.5, 0.0), "layer it is exploding"),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_a_matrix_is_told_once_and_not_before_its_time(sign):
    norms, expected = SIGNS[sign]
    ailments = Ailments(["it", "other"])
    lines = [ailments.look({"it": norms, "other": WELL}) for _ in range(3 * LOOKS)]
    told = [(number, line) for number, found in enumerate(lines) for line in found]
    if expected is None:
        assert told == []
    else:
        ((number, line),) = told
        assert number == LOOKS - 1
        assert line.startswith(expected)


def test_a_bias_is_told_only_if_it_is_dead():
    ailments = Ailments(["other"])
    ill = {"tiny": SIGNS["vanishing"][0], "big": SIGNS["exploding"][0], "none": SIGNS["dead"][0], "other": WELL}
    lines = [line for _ in range(LOOKS) for line in ailments.look(ill)]
    assert lines == [f"layer none is dead: its gradient is 0, in {LOOKS} looks"]


def test_one_look_without_the_sign_begins_anew():
    ailments = Ailments(["it", "other"])
    dead = SIGNS["dead"][0]
    looks = [dead] * (LOOKS - 1) + [WELL] + [dead] * (LOOKS - 1)
    assert [line for norms in looks for line in ailments.look({"it": norms, "other": WELL})] == []


def test_who_is_to_blame_has_grown_most_or_is_the_largest():
    ailments = Ailments([])
    now = {"a": 8.0, "b": 3.0, "c": 1.0}
    assert ailments.blame(now) == "the gradient of a, 8.0e+00, is the largest"
    ailments.look({"a": Norms(4.0, 1, 1), "b": Norms(0.5, 1, 1), "c": Norms(0.0, 1, 1)})
    assert ailments.blame(now) == "the gradient of b, 3.0e+00, is 6 times that of the last look"
