"""What the memory of a step is: the peak of what it allocates, over what it finds."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from distbp.bench.contenders import Contender
from distbp.bench.memory import allocated_peak, kilobytes, memory, resident_peak
from distbp.bench.models.table import build
from distbp.bench.setting import Setting

MIB = 2**20


class Invented(Contender):
    """It holds 1 MiB; keeps an arena of 4 from its first step on, which needs 64 for once; a step takes 2, twice 3."""

    def __init__(self) -> None:
        super().__init__(build("mlp_small", seed=0, batch=2))
        self.own = filled(1)
        self.arena: Tensor | None = None

    def step(self) -> None:
        if self.arena is None:
            lowering = filled(64)
            self.arena = filled(4)
            del lowering
        first = filled(2)
        for _ in range(2):
            second = filled(3)
            del second
        del first

    def held(self) -> Iterator[Tensor]:
        yield self.own
        yield from (*self.case.module.parameters(), *self.case.inputs, self.case.target)


def filled(mebibytes: int) -> Tensor:
    return torch.ones(mebibytes * MIB, dtype=torch.uint8)


def test_the_peak_counts_what_is_kept_and_forgets_what_lowering_took() -> None:
    first, (held, peak) = allocated_peak(Invented), allocated_peak(Invented)
    assert first == (held, peak), "what was freed between two measurements is no matter"
    assert peak == (4 + 2 + 3) * MIB
    assert held > MIB


def test_the_process_agrees() -> None:
    resident = resident_peak(Invented)
    if kilobytes("VmHWM") is None or resident is None:
        pytest.skip("the kernel keeps no high-water mark that can be set back")
    assert 8 * MIB < resident < 20 * MIB


def test_a_fresh_process_tells_the_same_twice() -> None:
    first, again = (memory("mlp_small", "autograd", Setting(0)) for _ in range(2))
    assert (first["held"], first["peak"]) == (again["held"], again["peak"])
    assert first["held"] == 3 * 4 * 101_770 + 32 * 784 * 4 + 32 * 8
    assert first["peak"] > 4 * 784 * 128  # the gradient of the first weight, on its way to the one that is held


def test_a_process_that_fails_is_quoted() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'nonsense'"):
        memory("nonsense", "autograd", Setting(0))
