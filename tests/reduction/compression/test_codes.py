"""What a code may lose of a number, over numbers of every magnitude; and that it hides none that is no number."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distbp.reduction.compression.base import BLOCK
from distbp.reduction.compression.bf16 import BF16
from distbp.reduction.compression.code import Code
from distbp.reduction.compression.scaled import FP16, INT8

CODES = {"bf16": BF16(), "fp16": FP16(), "int8": INT8()}
DTYPES = {"float32": torch.float32, "float64": torch.float64}
ROUNDING = 1 + 2.0**-18  # of the arithmetic in float32


def bounds(name, x):
    """The largest error of each number.   (B, 1024) -> (B, 1024)."""
    largest = x.abs().amax(dim=-1, keepdim=True)
    return {
        "bf16": x.abs() * 2.0**-8 + 2.0**-133,
        "fp16": (x.abs() * 2.0**-11 + largest * 2.0**-40) * ROUNDING + 2.0**-126,
        "int8": (largest / 254).expand_as(x) * ROUNDING + 2.0**-126,
    }[name]


def there_and_back(code: Code, x: torch.Tensor) -> torch.Tensor:
    coded = torch.empty(x.shape[0], code.bytes(x.dtype), dtype=torch.uint8)
    decoded = torch.empty_like(x)
    code.encode(x, coded)
    code.decode(coded, decoded)
    return decoded


@given(
    name=st.sampled_from(sorted(CODES)),
    dtype=st.sampled_from(sorted(DTYPES)),
    spread=st.integers(0, 20),
    magnitude=st.integers(-110, 100),
    share=st.sampled_from([0.0, 0.01, 1.0]),
    seed=st.integers(0, 1000),
)
def test_a_code_loses_no_more_than_its_bound(*, name, dtype, spread, magnitude, share, seed):
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(3, BLOCK, generator=draws, dtype=torch.float64)
    x *= 2.0 ** torch.randint(magnitude - spread, magnitude + 1, x.shape, generator=draws)
    x *= torch.rand(x.shape, generator=draws) < share
    x = x.to(DTYPES[dtype])
    error = there_and_back(CODES[name], x).double() - x.double()
    assert (error.abs() <= bounds(name, x.double())).all()


def test_whole_steps_of_the_scale_come_back():
    """Up to the rounding of the scale: whole numbers of which the largest is 127."""
    x = (torch.arange(BLOCK) % 255 - 127.0).view(1, BLOCK)
    torch.testing.assert_close(there_and_back(CODES["int8"], x), x, rtol=2.0**-22, atol=0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", CODES)
def test_no_number_is_not_hidden(name, value):
    x = torch.ones(2, BLOCK)
    x[1, 5] = value
    decoded = there_and_back(CODES[name], x)
    assert decoded[0].isfinite().all()
    assert not decoded[1, 5].isfinite()
