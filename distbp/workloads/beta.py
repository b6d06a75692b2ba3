"""The symmetric beta distribution by its quantiles: one uniform draw, one number."""

import numpy as np

NODES = 4096  # at which the distribution function is known, from 0 to its middle


class Beta:
    """Beta(a, a): the density is proportional to ``(x (1 - x))^(a - 1)`` on [0, 1].

    Its lower half is summed up by trapezia in ``s``, ``x = s^(1 / min(a, 1)) / 2``, in which the density is bounded;
    the upper half is its mirror image. Between nodes a quantile is linear, so that its bits depend on its draw alone.
    """

    def __init__(self, a: float) -> None:
        s = np.linspace(0.0, 1.0, NODES + 1)
        self._x = 0.5 * s ** (1 / min(a, 1.0))
        density = (2 * (1 - self._x)) ** (a - 1) * (2 * self._x) ** max(a - 1, 0.0)
        below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        self._below = 0.5 * below / below[-1]

    def quantiles(self, draws: np.ndarray) -> np.ndarray:
        """Where the distribution function is ``draws``.   (N) in [0, 1) -> (N) in [0, 1]."""
        x = np.interp(np.minimum(draws, 1 - draws), self._below, self._x)
        found: np.ndarray = np.where(draws < 0.5, x, 1 - x)
        return found
