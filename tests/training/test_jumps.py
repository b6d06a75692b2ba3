"""When a loss is said to jump: where a reader of its curve would say so."""

import json
import math
import random

import pytest

from distbp.training.jumps import WARM_UP, Jumps

DRAWS = random.Random(1)
FALLING = [2.3 * 0.98**step + DRAWS.gauss(0, 0.1) for step in range(100)]
NEAR_ZERO = [2.3 * 0.9**step + abs(DRAWS.gauss(0, 0.01)) for step in range(300)]
SQUARED = [DRAWS.gauss(0, 1) ** 2 for _ in range(300)]
CURVES = {  # losses, and the steps that jump
    "it falls": (FALLING, []),
    "one peak": ([*FALLING, 9.0, *FALLING[50:]], [100]),
    "a peak lasts": ([*FALLING, 9.0, 9.0, 9.0, *FALLING[50:]], [100]),
    "one peak in the beginning": ([2.3, 9.0, *FALLING], []),
    "it bursts": ([*FALLING, 10.0, 1e4, 1e8, 1e16], [100]),
    "noise near zero": ([*NEAR_ZERO, 0.1, 0.2], []),
    "heavy noise": (SQUARED, []),
    "negative": ([-value for value in FALLING], []),
    "negative, then not": ([*(-value for value in FALLING), 5.0], [100]),
    "always the same": ([0.7] * 200, []),
    "zero": ([0.0] * 200, []),
    "beyond what can be squared": ([1e200] * 50 + [1e300], [50]),
    "a step up": ([1.0] * 100 + [3.0] * 100, [100]),
}


def told(losses, jumps):
    return [step for step, loss in enumerate(losses) if jumps.take(loss)]


@pytest.mark.parametrize("curve", CURVES)
def test_a_jump_is_told_once(curve):
    losses, expected = CURVES[curve]
    assert told(losses, Jumps()) == expected


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("cut", [0, 1, WARM_UP, 99, 101])
def test_one_that_goes_on_tells_the_same(curve, cut):
    losses, expected = CURVES[curve]
    before, after = Jumps(), Jumps()
    first = told(losses[:cut], before)
    after.restore(json.loads(json.dumps(before.state())))
    assert first + [cut + step for step in told(losses[cut:], after)] == expected
    assert math.isfinite(after.state()["variance"])
