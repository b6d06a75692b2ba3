"""The range test: which learning rate a training bears (Smith 2017). A short run whose rate rises with each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from distbp.data.batches import Batch
from distbp.record import Record
from distbp.training.schedules import Schedule

SMOOTH = 0.9  # share of the running mean of the loss that each step keeps
BURST = 4.0  # times the least loss: there the test ends (or, of one that is not above 0, as far above it)
MARGIN = 10.0  # by which the proposal lies below the rate of the least loss


def rising(lowest: float, highest: float, epochs: float) -> Schedule:
    """The factor of ``highest``: ``(lowest / highest)^(1 - t / epochs)``, from ``lowest`` to ``highest``."""
    return Schedule(lambda seen, _total: (lowest / highest) ** (1 - min(seen / epochs, 1.0)))


@dataclass
class Curve(Record):
    """The smoothed loss at each rate, told in ``units``. It is ``over`` once the loss has burst, or is none."""

    units: float = 1.0
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    over: bool = False
    _mean: float = 0.0

    def step(self, _batch: Batch, figures: Mapping[str, float], _milliseconds: Mapping[str, float]) -> None:
        """A point of the curve: the running mean, corrected for its beginning at 0."""
        self._mean = SMOOTH * self._mean + (1 - SMOOTH) * figures["loss"]
        self.rates.append(figures["lr"] / self.units)
        self.losses.append(self._mean / (1 - SMOOTH ** (len(self.losses) + 1)))
        least = min(self.losses)
        scale = least if least > 0 else max(-least, abs(self.losses[0]))
        self.over = self.losses[-1] - least > (BURST - 1) * scale

    def skipped(self, _step: int, _cause: str) -> None:
        """The rate was too high for numbers."""
        self.over = True

    def rescaled(self, _step: int, _cause: str) -> None:
        """Nothing: the scale of the loss is being found."""

    def evaluation(self, _step: int, _metrics: Mapping[str, float]) -> None:
        """Nothing: a range test evaluates nothing."""

    @property
    def proposal(self) -> float:
        """A tenth of the rate at which the loss was least, rounded to two digits. There has been a step."""
        least = self.rates[self.losses.index(min(self.losses))]
        return float(f"{least / MARGIN:.1e}")
