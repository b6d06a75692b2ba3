"""The tree of sums: whoever holds the leaves, the root has one value, that of the plain recursion."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distbp.data.order import leaves
from distbp.reduction.tree import Node, Tree

PRESENT = st.lists(st.booleans(), min_size=1, max_size=33).filter(any)


def slow_sum(values, low, high):
    """The definition: a leaf, or the sum of the halves that are there."""
    if high - low == 1:
        return values.get(low)
    middle = (low + high) // 2
    halves = [half for half in (slow_sum(values, low, middle), slow_sum(values, middle, high)) if half is not None]
    return None if not halves else halves[0] if len(halves) == 1 else halves[0] + halves[1]


def rough_values(present):
    """Numbers whose sum shows its order: magnitudes far apart."""
    draws = torch.Generator().manual_seed(len(present))
    exponents = torch.randint(-10, 10, (len(present),), generator=draws)
    values = torch.randn(len(present), generator=draws, dtype=torch.float64) * 2.0**exponents
    return {v: float(values[v]) for v, there in enumerate(present) if there}


@given(PRESENT, st.integers(1, 9))
def test_any_number_of_workers_comes_to_the_same_bits(present, size):
    values, tree = rough_values(present), Tree(present)
    held = {}
    for rank in range(size):
        stack = []
        mine = leaves(len(present), size, rank)
        for leaf, sums in tree.merges(mine).items():
            stack.append(values[leaf])
            for _ in range(sums):
                top = stack.pop()
                stack[-1] += top
        held |= dict(zip(tree.subtrees(mine), stack, strict=True))
    width = 1 << (len(present) - 1).bit_length()
    assert tree.fold(held, lambda left, right: left + right) == slow_sum(values, 0, width)


@given(PRESENT, st.integers(1, 9))
def test_every_present_leaf_is_in_exactly_one_subtree(present, size):
    tree = Tree(present)
    nodes = [node for rank in range(size) for node in tree.subtrees(leaves(len(present), size, rank))]
    covered = [leaf for node in nodes for leaf in node.leaves if leaf in tree.present]
    assert covered == list(tree.present)


def test_the_order_is_that_of_a_complete_binary_tree():
    tree = Tree([True] * 5)
    names = {Node(0, v): str(v) for v in range(5)}
    assert tree.fold(names, lambda left, right: f"({left}{right})") == "(((01)(23))4)"


def test_an_absent_leaf_is_not_added():
    tree = Tree([True, False, True, True])
    names = {Node(0, v): str(v) for v in (0, 2, 3)}
    assert tree.fold(names, lambda left, right: f"({left}{right})") == "(0(23))"


@pytest.mark.parametrize("leaf_count", [1, 2, 3, 8, 31, 64])
def test_a_worker_needs_few_buffers(leaf_count):
    """As a binary counter: at most log2(V) + 1 subtree sums at a time where one worker holds all."""
    tree, height, highest = Tree([True] * leaf_count), 0, 0
    for sums in tree.merges(range(leaf_count)).values():
        height += 1
        highest = max(highest, height)
        height -= sums
    assert height == 1
    assert highest <= (leaf_count - 1).bit_length() + 1


def test_a_plain_sum_would_not_pass():
    """The law above can fail: added in a row, the same numbers come to other bits."""
    values = {0: 1.0, 1: 1e16, 2: -1e16, 3: 1.0}
    assert sum(values.values()) != slow_sum(values, 0, 4)
