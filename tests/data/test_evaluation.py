"""The laws of evaluation: fixed blocks, each sample once, whoever evaluates it."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from distbp.data.evaluation import Block, blocks, evaluation
from tests.data.counted import Counted


def evaluated(n: int, batch_size: int, size: int) -> list[Block]:
    return [
        block for rank in range(size) for block in evaluation(Counted(n), batch_size=batch_size, rank=rank, size=size)
    ]


@given(st.integers(1, 50), st.integers(1, 12), st.integers(1, 6))
def test_the_blocks_do_not_depend_on_the_number_of_workers(n: int, batch_size: int, size: int) -> None:
    alone, together = evaluated(n, batch_size, 1), evaluated(n, batch_size, size)
    assert [block.number for block in together] == list(range(blocks(n, batch_size)))
    for one, other in zip(alone, together, strict=True):
        assert all(map(torch.equal, one.inputs, other.inputs))
        assert torch.equal(one.target["number"], other.target["number"])


@given(st.integers(1, 50), st.integers(1, 12))
def test_each_sample_is_evaluated_once_in_order_and_nothing_is_padded(n: int, batch_size: int) -> None:
    seen = [number for block in evaluated(n, batch_size, 1) for number in block.target["number"].tolist()]
    assert seen == list(range(n))
