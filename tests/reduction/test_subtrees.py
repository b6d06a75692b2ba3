"""Whoever shares a node with whom: the sums within nodes and between them make the plain recursion."""

from hypothesis import given
from hypothesis import strategies as st

from distbp.reduction.subtrees import Place, ranks, subtrees, sums
from distbp.reduction.tree import Tree
from tests.reduction.test_tree import PRESENT, rough_values, slow_sum


@st.composite
def nodes_of_ranks(draw):
    """Some nodes of equally many ranks, which need not follow each other, as a launcher may deal them out."""
    width, count = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    order = draw(st.permutations(range(width * count)))
    return tuple(tuple(sorted(order[node * width : (node + 1) * width])) for node in range(count))


@given(PRESENT, nodes_of_ranks())
def test_any_nodes_come_to_the_same_bits(present, nodes):
    present = tuple(present)
    values, tree = rough_values(present), Tree(present)
    width = 1 << (len(present) - 1).bit_length()
    each = subtrees(present, ranks(sum(map(len, nodes))))
    held = {}
    for number, of_node in enumerate(nodes):
        slots = {
            Place(worker, slot): slow_sum(values, node.leaves.start, node.leaves.stop)
            for worker, rank in enumerate(of_node)
            for slot, node in enumerate(each[rank])
        }
        pairs, roots = sums(present, nodes, number)
        for into, other in pairs:
            slots[into] += slots[other]
        held |= dict(zip(subtrees(present, nodes)[number], (slots[root] for root in roots), strict=True))
    assert tree.fold(held, lambda left, right: left + right) == slow_sum(values, 0, width)


@given(PRESENT, nodes_of_ranks())
def test_a_sum_over_all_parts_ends_in_a_first_slot(present, nodes):
    """The other workers of the node copy it from there to theirs."""
    everyone = (tuple(sorted(rank for ranks in nodes for rank in ranks)),)
    (root,) = sums(tuple(present), everyone, 0).roots
    assert root.slot == 0
