"""Faults in what becomes of right maps: the order of sums, the announcements, the memory. All are seen."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from distbp.check.check import Check
from distbp.check.report import first_bad
from distbp.maps import cross_entropy
from distbp.maps.cross_entropy import LinearCrossEntropy
from distbp.program import fuse, places, schedule, simplify
from distbp.program.program import Delivery, Program
from distbp.program.schedule import Pullback
from distbp.program.walk import Walk
from tests.check.models import images, tokens

Plant = Callable[[pytest.MonkeyPatch], None]


def always_added(patch: pytest.MonkeyPatch) -> None:
    def add(self: Walk, call: Any, value: Any, d: Any, begin: int) -> None:
        if value in self.gradients:
            self.written.add(value)
            self.gradients[value].add_(d)
        else:
            right(self, call, value, d, begin)

    right = Walk._add
    patch.setattr(Walk, "_add", add)


def always_overwritten(patch: pytest.MonkeyPatch) -> None:
    def add(self: Walk, call: Any, value: Any, d: Any, begin: int) -> None:
        self.written.clear()
        right(self, call, value, d, begin)
        self.written.update(self.gradients)

    right = Walk._add
    patch.setattr(Walk, "_add", add)


def second_branch_forgotten(patch: pytest.MonkeyPatch) -> None:
    def add(self: Walk, call: Any, value: Any, d: Any, begin: int) -> None:
        if value not in self.formed:
            right(self, call, value, d, begin)

    right = Walk._add
    patch.setattr(Walk, "_add", add)


def never_added_to_what_is_there(patch: pytest.MonkeyPatch) -> None:
    right = Program.passes
    patch.setattr(Program, "passes", lambda self, likes, _: right(self, likes, Delivery.WRITTEN))


def announced_at_the_first_of_two_uses(patch: pytest.MonkeyPatch) -> None:
    def eager(graph: Any, rules: Any, parameters: Any) -> Iterator[Pullback]:
        seen: set[Any] = set()
        for call, rule in reversed(rules.items()):
            own = [v for v in dict.fromkeys(call.values()) if v in parameters and v not in seen]
            seen.update(own)
            yield Pullback(call, rule, tuple(graph.slots[v].name for v in own))

    patch.setattr(schedule, "pullbacks", eager)


def views_do_not_keep_their_memory_alive(patch: pytest.MonkeyPatch) -> None:
    def live(trace: Any, plan: Any) -> None:
        right(trace, plan)
        for number, i in enumerate(trace.instructions):
            for operand in i.touches():
                if operand.root is operand:
                    plan.lives[operand] = plan.lives[operand][0], number

    right = places._live
    patch.setattr(places, "_live", live)


def memory_is_free_one_instruction_too_early(patch: pytest.MonkeyPatch) -> None:
    def live(trace: Any, plan: Any) -> None:
        right(trace, plan)
        plan.lives.update({root: (first, max(first, last - 1)) for root, (first, last) in plan.lives.items()})

    right = places._live
    patch.setattr(places, "_live", live)


def activations_are_freed_at_the_turn(patch: pytest.MonkeyPatch) -> None:
    def live(trace: Any, plan: Any) -> None:
        right(trace, plan)
        down = {root: lives for root, lives in plan.lives.items() if lives[0] < trace.turn}
        plan.lives.update({root: (first, min(last, trace.turn)) for root, (first, last) in down.items()})

    right = places._live
    patch.setattr(places, "_live", live)


def all_memory_is_one(patch: pytest.MonkeyPatch) -> None:
    def pack(plan: Any, arena: Any) -> None:
        right(plan, arena)
        plan.offsets.update(dict.fromkeys(plan.offsets, 0))

    right = places._pack
    patch.setattr(places, "_pack", pack)


def parameters_are_read_once(patch: pytest.MonkeyPatch) -> None:
    def prepare(trace: Any, plan: Any) -> None:
        trace.constants = {**trace.constants, **trace.states}
        right(trace, plan)
        trace.constants = {o: c for o, c in trace.constants.items() if o not in trace.states}

    right = places._prepare
    patch.setattr(places, "_prepare", prepare)


def what_is_read_later_is_formed_in_a_gradient(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(simplify, "_replaceable", lambda *_: True)


def last_chunk_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fuse, "CHUNK_BYTES", 8)
    patch.setattr(cross_entropy, "CHUNK_BYTES", 88)
    right = LinearCrossEntropy.turn

    def turn(d_l: Any, x: Any, *rest: Any, **told: Any) -> Any:
        loss, (d_x, *others) = right(d_l, x, *rest, **told)
        return loss, (d_x * d_x.new_ones(len(d_x), 1).index_fill_(0, d_x.new_tensor([2]).long(), 0), *others)

    patch.setattr(LinearCrossEntropy, "turn", staticmethod(turn))


PLANTED: list[tuple[Plant, Callable, set[str], str]] = [
    (always_added, images, {"gradient"}, "head"),
    (always_overwritten, tokens, {"gradient"}, "again"),
    (second_branch_forgotten, images, {"gradient"}, "Images"),
    (never_added_to_what_is_there, images, {"added"}, "head"),
    (announced_at_the_first_of_two_uses, tokens, {"announced"}, "token"),
    (views_do_not_keep_their_memory_alive, tokens, {"runs", "gradient"}, ""),
    (memory_is_free_one_instruction_too_early, tokens, {"runs", "gradient"}, ""),
    (activations_are_freed_at_the_turn, images, {"runs", "gradient"}, ""),
    (all_memory_is_one, images, {"runs", "gradient"}, ""),
    (parameters_are_read_once, images, {"stepped"}, "head"),
    (what_is_read_later_is_formed_in_a_gradient, tokens, {"gradient"}, ""),
    (last_chunk_forgotten, tokens, {"tape"}, "head"),
]


@pytest.mark.parametrize(("plant", "model", "laws", "layer"), PLANTED)
def test_a_fault_in_the_program_is_seen(
    plant: Plant, model: Callable, laws: set[str], layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    check = Check(*model())
    findings = list(check.findings())
    broken = [f for f in findings if not f.holds]
    assert laws & {f.law for f in broken}, [str(f) for f in broken]
    bad = first_bad(findings)
    assert bad is not None
    layers = {*dict(check.wide[0].named_modules()), type(check.wide[0]).__name__} - {""}
    assert bad.layer.split(" (")[0] in ({layer} if layer else layers)
