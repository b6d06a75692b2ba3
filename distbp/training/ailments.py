"""Layers that are not well: dead, vanishing and exploding ones, told once each."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from distbp.training.layers import Norms

LOOKS = 5  # one after the other, that show the same sign
VANISHING = 1e-5  # of the largest gradient of a matrix
EXPLODING = 0.1  # of the weights, in one update


class Ailments:
    """From looks at the layers to lines, one for each layer and kind.

    A layer is *dead* if its gradient is exactly zero. The others are looked for in ``matrices`` alone, parameters of
    two dimensions and more: a bias in front of a norm has no gradient but rounding, and a bias begins at zero. A matrix
    is *vanishing* if its gradient is below 1e-5 of the largest one's, *exploding* if one update is more than a
    tenth of its weights, or not finite, in norm.
    """

    def __init__(self, matrices: Collection[str]) -> None:
        self._matrices = frozenset(matrices)
        self._looks: Counter[tuple[str, str]] = Counter()  # with that sign, up to the last
        self._told: set[tuple[str, str]] = set()
        self._last: dict[str, float] = {}  # gradients of the last look

    def look(self, layers: Mapping[str, Norms]) -> list[str]:
        """What there is to say after one more look."""
        self._last = {name: norms.gradient for name, norms in layers.items()}
        shown = {(name, kind): why for name, kind, why in self._signs(layers)}
        self._looks = Counter({sign: self._looks[sign] + 1 for sign in shown})
        new = [sign for sign in shown if self._looks[sign] >= LOOKS and sign not in self._told]
        self._told.update(new)
        return [f"layer {name} is {kind}: {shown[name, kind]}, in {LOOKS} looks" for name, kind in new]

    def blame(self, gradients: Mapping[str, float]) -> str:
        """Where the loss has jumped: the layer whose gradient has grown most since the last look, or is the largest."""
        grown = {name: value / self._last[name] for name, value in gradients.items() if self._last.get(name)}
        name = max(grown or gradients, key=(grown or gradients).__getitem__)
        times = f"{grown[name]:.3g} times that of the last look" if grown else "the largest"
        return f"the gradient of {name}, {gradients[name]:.1e}, is {times}"

    def _signs(self, layers: Mapping[str, Norms]) -> Iterator[tuple[str, str, str]]:
        largest = max((norms.gradient for name, norms in layers.items() if name in self._matrices), default=0.0)
        for name, (gradient, update, weight) in layers.items():
            if gradient == 0:
                yield name, "dead", "its gradient is 0"
            elif name in self._matrices and gradient < VANISHING * largest:
                yield name, "vanishing", f"its gradient is {gradient:.1e}, and the largest of all {largest:.1e}"
            if name in self._matrices and not (update <= EXPLODING * weight < math.inf):
                yield name, "exploding", f"updates are {update:.1e} of weights of {weight:.1e}"
