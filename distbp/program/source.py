"""The Python source of a program: where everything lies, the forward pass, the backward pass."""

from collections.abc import Iterator
from typing import Any

import torch
from torch._ops import OpOverload

from distbp.maps.base import Map, equation, vjp_equation
from distbp.program.graph import Call, Graph
from distbp.program.instruction import Announcement, Instruction, Opaque, Operand, Step
from distbp.program.places import Places
from distbp.program.primitives import ALLOCATIONS, COPIES, FILLS, GRADED, ONES, ZEROS, out_of
from distbp.program.text import joined, literal, shapes, statement, typed, unpack
from distbp.program.trace import Trace
from distbp.program.vocabulary import Vocabulary

LIES = '''def lies(arena, offset, dtype, shape, stride):
    """A tensor in the arena: ``offset`` in bytes."""
    return arena[offset:].view(dtype).as_strided(shape, stride)'''


class Source:
    """Writes ``passes(arena, states, gradients, constants) -> (forward, backward)``.

    ``forward(inputs, generator)`` goes down and leaves what the way up needs where ``backward(d_loss, complete)`` finds
    it; that returns ``loss_sum, count, outputs, moved, rows``. ``d_x`` is the gradient of the loss in x.
    """

    def __init__(self, graph: Graph, trace: Trace, plan: Places, rules: dict[Call, type[Map] | Map]) -> None:
        self.graph, self.trace, self.plan, self.rules = graph, trace, plan, rules
        opaque = [rule for rule in rules.values() if rule.opaque]
        self.vocabulary = Vocabulary(opaque, map(str, graph.values()))

    def text(self) -> str:
        """The whole source."""
        body = "\n".join([LIES, "", "", *self._passes()])
        return "\n".join([*self._head(), "", "import torch", "", *self.vocabulary.lines(), "", body, ""])

    def _head(self) -> Iterator[str]:
        yield f'"""The forward and the backward pass of {self.graph.title}, for'
        for value in self.graph.inputs:
            yield f"    {value.name}   {typed(value)}"
        yield '"""'

    def _passes(self) -> Iterator[str]:
        yield "def passes(arena, states, gradients, constants):"
        yield from unpack([o.name for o in self.trace.states], "states")
        yield from unpack([o.name for o in self.trace.gradients], "gradients")
        yield from unpack([o.name for o in self.trace.constants], "constants")
        yield from self._laid_out()
        crossing = sorted(self._crossing())
        if crossing:
            yield ""
            yield "    # from the forward pass to the backward pass, in memory of torch's"
            yield from (f"    {name} = None" for name in crossing)
        down, up = self.trace.down, self.trace.up
        yield ""
        yield "    def forward(inputs, generator):"
        yield from self._nonlocal(crossing, down, self.trace.inputs)
        yield from map(indented, unpack([o.name for o in self.trace.inputs], "inputs"))
        yield from self._body(down)
        yield ""
        yield "    def backward(d_loss, complete):"
        yield from self._nonlocal(crossing, up, ())
        yield from self._body(up)
        loss, count, outputs, moved, rows = self.trace.returned
        names = [
            word(loss),
            word(count),
            tuple_of([word(o) for o in outputs]),
            tuple_of([word(o) for o in moved.values()]),
            tuple_of([word((numbers, values)) for _, numbers, values in rows]),
        ]
        yield f"        return {', '.join(names)}"
        yield ""
        yield "    return forward, backward"

    def _laid_out(self) -> Iterator[str]:
        roots = sorted(self.plan.offsets, key=lambda o: self.plan.lives[o])
        if roots:
            yield ""
            yield f"    # the arena: {self.plan.size:,} bytes"
        for root in roots:
            meta = root.meta
            place = f"{self.plan.offsets[root]}, {meta.dtype}, {tuple(meta.shape)}, {tuple(meta.stride())}"
            yield f"    {root.name} = lies(arena, {place})"
        if self.plan.prepared or self._placed():
            yield ""
            yield "    # made once"
        for root in self._placed():
            meta = root.meta
            yield f"    {root.name} = {root.place}.as_strided({tuple(meta.shape)}, {tuple(meta.stride())})"
        for i in self.plan.prepared:
            yield from self._called(i, i.op, in_arena=False)

    def _placed(self) -> list[Operand]:
        roots = (o for i in self.trace.instructions for o in i.makes())
        made = [o for o in roots if o.place is not None and o.name != o.place.name]
        return list(dict.fromkeys(made))

    def _crossing(self) -> set[str]:
        """The names that both passes, or one of them and the return, know."""
        down, up = self.trace.down, self.trace.up
        below = {o.name for i in down for o in i.touches() if self._anew(o)}
        below |= {o.name for o in self.trace.inputs} | {i.op.saved for i in down if isinstance(i.op, Opaque)}
        above = {o.name for i in up for o in i.reads() if self._anew(o)}
        above |= {i.op.saved for i in up if isinstance(i.op, Opaque)}
        return below & (above | {o.name for o in self.trace.results()})

    def _anew(self, operand: Operand) -> bool:
        return operand not in self.plan.static

    def _nonlocal(self, crossing: list[str], part: list[Instruction], given: Any) -> Iterator[str]:
        bound = {o.name for i in part for o in i.gives()} | {o.name for o in given}
        bound |= {o.name for i in part for o in self.plan.ends.get(i, ())}
        bound |= {i.op.saved for i in part if isinstance(i.op, Opaque)}
        names = [name for name in crossing if name in bound]
        if names:
            yield f"        nonlocal {', '.join(names)}"

    def _body(self, part: list[Instruction]) -> Iterator[str]:
        scope: Any = None
        for i in part:
            if i.scope != scope:
                scope = i.scope
                yield ""
                yield from self._heading(i)
            yield from map(indented, self._line(i))
            dead = [o.name for o in self.plan.ends.get(i, ())]
            if dead:
                yield f"        del {', '.join(dead)}"

    def _heading(self, i: Instruction) -> Iterator[str]:
        call = i.scope.call
        if call is None:
            return
        rule = self.rules.get(call)
        told = str(call.op).split(".")[1] if rule is None else vjp_equation(rule) if i.scope.up else equation(rule)
        yield f"        # {call.where}:   {told}" + ("" if i.scope.up else f"   {shapes(call)}")

    def _line(self, i: Instruction) -> Iterator[str]:
        if isinstance(i.op, Announcement):
            return iter([f'    complete("{i.op.name}")'])
        if isinstance(i.op, Opaque):
            return self._opaque(i, i.op)
        lines = self._called(i, i.op, in_arena=True)
        return iter(["    with torch.enable_grad():", *map(indented, lines)]) if i.is_(*GRADED) else lines

    def _called(self, i: Instruction, op: Any, *, in_arena: bool) -> Iterator[str]:
        made = i.makes()
        placed = in_arena and bool(made) and (all(o in self.plan.static for o in made) or made[0] in self.plan.over)
        if i.changes() and not (placed and out_of(op)):
            bound = [o for o in i.gives() if o not in i.changes() and self._anew(o)]
            target = names_of(i, bound)
            return written(f"{target} = " if bound else "", op, i)
        if not placed:
            return written(f"{names_of(i, i.gives())} = ", op, i)
        simple = filled(i, made[0])
        if simple is not None:
            return iter(simple)
        overload, names = out_of(op)  # type: ignore[misc]
        over = self.plan.over.get(made[0])
        if over is not None and self._anew(made[0]):
            return written(f"{made[0]} = ", overload, i, dict(zip(names, [over], strict=True)))
        return written("", overload, i, dict(zip(names, made, strict=True)))

    def _opaque(self, i: Instruction, op: Opaque) -> Iterator[str]:
        callee = f"{self.vocabulary[op.rule]}.{op.step.value}"
        left = ["_" if o is None else o.name for o in i.outputs]
        if op.step is Step.FORWARD:
            told = [f"{name}={literal(value)}" for name, value in op.attributes]
            drawn = ["generator=generator"] if op.rule.random else []
            target = joined(left) if i.scope.call is not None and i.scope.call.several else left[0]
            return statement(f"{target}, {op.saved} = ", callee, [*map(word, i.args), *told, *drawn])
        remaining = iter(left)
        arranged = [
            next(remaining) if n is None else joined([next(remaining) for _ in range(n)]) for n in op.arrangement
        ]
        lines = list(statement(f"{joined(arranged)} = ", callee, [op.saved, *map(word, i.args)]))
        return iter([*lines, f"    del {op.saved}"])


def filled(i: Instruction, place: Operand) -> list[str] | None:
    """How ``place`` comes to hold the result of a primitive that makes room, fills or copies; None for others."""
    if i.is_(*ALLOCATIONS):
        return []
    if i.is_(*ZEROS):
        return [f"    {place}.zero_()"]
    if i.is_(*ONES):
        return [f"    {place}.fill_(1)"]
    if i.is_(*COPIES):
        return [f"    {place}.copy_({i.args[0]})"]
    number = next((at for op, at in FILLS.items() if i.is_(op)), None)
    return None if number is None else [f"    {place}.fill_({word(i.args[number])})"]


def names_of(i: Instruction, bound: list[Operand]) -> str:
    """The left side of an assignment."""
    names = [o.name if o is not None and o in bound else "_" for o in i.outputs]
    return joined(names) if i.several else names[0]


def written(left: str, op: OpOverload, i: Instruction, out: dict[str, Operand] | None = None) -> Iterator[str]:
    """A primitive, as torch's own function or method where there is one."""
    defaults = {a.name: a.default_value for a in op._schema.arguments if a.has_default_value()}
    keywords = {n: v for n, v in i.kwargs.items() if not (n in defaults and v is None)}
    given = [word(a) for a in i.args]
    told = [f"{name}={word(value)}" for name, value in keywords.items()]
    name = op.overloadpacket.__name__
    if op.namespace == "aten" and i.changes() and name.endswith("_") and hasattr(torch.Tensor, name):
        return statement(left, f"{given[0]}.{name}", [*given[1:], *told])
    whole = not any(isinstance(a, list) and any(item is None for item in a) for a in i.args)  # torch's own take no None
    if op.namespace == "aten" and is_function(name) and whole and (out is None or [*out] == ["out"]):
        return statement(left, f"torch.{name}", [*given, *told, *(f"out={o}" for o in (out or {}).values())])
    if op.namespace == "aten" and out is None and i.is_view() and hasattr(torch.Tensor, name):
        return statement(left, f"{given[0]}.{name}", [*given[1:], *told])
    told += [f"{n}={o}" for n, o in (out or {}).items()]
    return statement(left, f"torch.ops.{op}", [*given, *told])


def is_function(name: str) -> bool:
    """Whether ``torch.name`` is the primitive itself, not a function of Python's around it."""
    mine = getattr(torch._C._VariableFunctions, name, None)
    return mine is not None and getattr(torch, name, None) == mine


def word(item: Any) -> str:
    """An argument, written."""
    if isinstance(item, Operand):
        return item.name
    if isinstance(item, torch.Generator):
        return "generator"
    if isinstance(item, list | tuple):
        inner = [word(i) for i in item]
        return joined(inner) if isinstance(item, tuple) else f"[{', '.join(inner)}]"
    return literal(item)


def tuple_of(names: list[str]) -> str:
    """A tuple's display, empty or not."""
    return joined(names) if names else "()"


def indented(line: str) -> str:
    """A line, one level deeper."""
    return f"    {line}" if line else line
