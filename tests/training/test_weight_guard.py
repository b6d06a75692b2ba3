"""The checksum sees any bit and any exchange, exactly; the guard names who has drifted, and in which tensor."""

import pytest
import torch
from torch import nn

from distbp.comm import threads
from distbp.errors import JobError
from distbp.training.finite import finite
from distbp.training.weight_guard import MOST, ROW, WeightGuard, checksum

SIZES = [1, 2, 3, 7, 64, ROW, 2 * ROW + 2, 5 * ROW + 3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8])
def test_any_bit_counts(size, dtype):
    tensor = torch.arange(size).to(dtype)
    before = checksum(tensor).item()
    raw = tensor.view(torch.uint8)
    for place in sorted({0, 1, raw.numel() // 2, raw.numel() - 1} & set(range(raw.numel()))):
        for bit in range(8):
            raw[place] ^= 1 << bit
            assert checksum(tensor).item() != before
            raw[place] ^= 1 << bit
    assert checksum(tensor).item() == before


@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, 2), (3, 2 * ROW + 3), (5, 4 * ROW + 90)])
def test_exchanged_values_count(one, other):
    tensor = torch.randn(5 * ROW, generator=torch.Generator().manual_seed(0))
    before = checksum(tensor).item()
    tensor[[one, other]] = tensor[[other, one]]
    assert checksum(tensor).item() != before


def test_the_checksum_does_not_depend_on_where_a_tensor_lies_or_on_threads():
    tensor = torch.randn(3 * ROW + 5)
    shifted = torch.cat([torch.zeros(1), tensor])[1:]  # not on a boundary of 8 bytes
    number = torch.get_num_threads()
    sums = set()
    for count in (1, 2):
        torch.set_num_threads(count)
        sums |= {checksum(tensor).item(), checksum(shifted).item(), checksum(tensor.view(1, -1)).item()}
    torch.set_num_threads(number)
    assert len(sums) == 1


def test_a_large_tensor_is_read_stretch_by_stretch():
    tensor = torch.zeros(2 * MOST + 1, dtype=torch.int64)
    before = [checksum(tensor, turn=turn).item() for turn in range(4)]
    tensor[-1] = 1
    assert [checksum(tensor, turn=turn).item() != old for turn, old in enumerate(before)] == [False, False, True, False]


def drifted(comm, wrong, name, every=2):
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))  # parameters come first
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.zero_()
    guard = WeightGuard(module, comm, every=every)
    guard.look(0)
    if comm.rank in wrong:
        module.state_dict()[name].view(-1)[1:2] += 1
        module.state_dict()["1.running_var"] += 1  # and a later one
    guard.look(1)  # not its turn
    try:
        guard.look(2)
    except JobError as error:
        return [error.rank, error.step, error.phase, error.cause]
    return None


@pytest.mark.parametrize("name", ["0.weight", "1.running_mean", "2.weight"])
@pytest.mark.parametrize("wrong", [0, 2])
def test_the_drifted_rank_and_its_first_tensor_are_named_on_all(name, wrong):
    answers = threads.run(4, drifted, [wrong], name)
    assert answers == [[wrong, 2, "guard", f"its {name} has drifted: 3 of 4 ranks have the same, and it has not"]] * 4


@pytest.mark.parametrize(("size", "wrong"), [(2, [1]), (2, [0]), (4, [1, 2])])
def test_without_a_majority_both_sides_are_named(size, wrong):
    (answer,) = {tuple(answer) for answer in threads.run(size, drifted, wrong, "0.weight")}
    assert answer[0] == 1
    assert "its 0.weight is not that of rank 0" in answer[3]


def test_never_is_never():
    assert threads.run(2, drifted, [1], "0.weight", None) == [None, None]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_value_that_is_none_is_seen(bad):
    values = torch.full((1000,), 3e38)
    assert finite(values)  # though their sum is not
    values[700] = bad
    assert not finite(values)
    assert finite(torch.empty(0))
