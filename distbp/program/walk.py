"""A walk through a graph, down and up, that finds out what its maps execute."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from distbp.errors import RequestError
from distbp.maps.base import Map, Turn
from distbp.program.graph import Call, Graph, Value
from distbp.program.instruction import (
    Announcement,
    Instruction,
    Opaque,
    Operand,
    Origin,
    Scope,
    Step,
)
from distbp.program.layout import laid_out
from distbp.program.names import Names
from distbp.program.recorder import GENERATOR, Recorder
from distbp.program.schedule import Schedule
from distbp.program.trace import Like, Trace, contiguous, turned


class Walk:
    """``likes`` tells how each value of the graph that is given lies in memory; with ``add`` gradients are added."""

    def __init__(self, graph: Graph, plan: Schedule, likes: Mapping[Value, Like], *, add: bool) -> None:
        self.graph = graph
        self.plan = plan
        self.likes = likes
        self.add = add
        self.names = Names(value.name for value in graph.values())
        self.recorder = Recorder(self.names)
        self.now: dict[Value, Any] = {}  # each value's tensor
        self.saved: dict[Call, Any] = {}
        self.formed: dict[Value, Tensor] = {}  # gradients
        self.written: set[Value] = set()  # parameters whose gradient has been written
        self.rows: list[tuple[str, Tensor, Tensor]] = []  # of tables: the name, row numbers, rows
        self.turning: tuple[Operand, Operand, int] | None = None  # an output promised, made, and when
        self.device = next(iter(likes.values()))[3] if likes else torch.device("cpu")

    def trace(self) -> Trace:
        """Walk."""
        self._given()
        for call in self.graph.calls:
            self._down(call)
        with self.recorder.recording(Scope(None)):
            moved = {n: torch.sub(self.now[new], self.now[old]) for old, (n, new) in self._moved().items()}
        turn = len(self.recorder.instructions)
        loss = self.graph.loss_sum
        self.formed[loss] = d_loss = self.recorder.given("d_loss", ((), (), loss.dtype, self.device), Origin.INPUT)
        with self.recorder.recording(Scope(None, up=True)):
            for value in self.plan.unused:
                self._complete(value)
        for step in self.plan.backward:
            self._up(step.call, step.rule)
            for value in dict.fromkeys(step.call.values()):
                if value in self.gradients and self.graph.slots[value].name in step.completes:
                    with self.recorder.recording(Scope(step.call, up=True)):
                        self._complete(value)
        return self._traced(turn, d_loss, moved)

    def _given(self) -> None:
        """Everything that the program finds when it starts."""
        for value in self.graph.inputs:
            self.now[value] = self._find(value, value.name, Origin.INPUT)
        for value in self.graph.slots:
            self.now[value] = self._find(value, value.name, Origin.STATE)
        for value in self.graph.constants:
            self.now[value] = self._find(value, value.name, Origin.CONSTANT)
        slots = self.graph.slots.items()
        trainable = [value for value, slot in slots if slot.trainable and value not in self.plan.tables]
        self.gradients = {value: self._find(value, f"d_{value.name}", Origin.GRADIENT) for value in trainable}

    def _find(self, value: Value, name: str, origin: Origin) -> Tensor:
        return self.recorder.given(name, self.likes[value], origin)

    def _moved(self) -> dict[Value, tuple[str, Value]]:
        moved = self.graph.moved.items()
        return {old: (self.graph.slots[old].name, new) for old, new in moved if old.dtype != torch.bool}

    def _down(self, call: Call) -> None:
        """One call, forward."""
        rule = self.plan.rules.get(call) or self.plan.drawn.get(call)
        inputs = tuple(self._tensors(item) for item in call.inputs)
        begin = len(self.recorder.instructions)
        if isinstance(rule, type) and issubclass(rule, Turn):
            outputs: Any = self._promised(call)
        elif rule is not None and rule.opaque:
            outputs = self._opaque(call, rule, inputs)
        else:
            with self.recorder.recording(Scope(call)):
                outputs = self._apply(call, rule, laid_out(call.op, inputs))
        outputs = outputs if call.several else (outputs,) if isinstance(outputs, Tensor) else outputs
        if len(outputs) != len(call.outputs):
            raise _wrong(call, "forward", f"gives {len(outputs)} outputs, not {len(call.outputs)}")
        for value, tensor in zip(call.outputs, outputs, strict=True):
            if value is not None:
                if (tuple(tensor.shape), tensor.dtype) != (value.shape, value.dtype):
                    told, wanted = (f"{tuple(x.shape)} {x.dtype}" for x in (tensor, value))
                    raise _wrong(call, "forward", f"gives {value} as {told}, not {wanted}")
                self.now[value] = tensor
                if self.recorder.is_made(tensor, begin):
                    self.recorder.rename(tensor, value.name)

    def _apply(self, call: Call, rule: type[Map] | Map | None, inputs: tuple[Any, ...]) -> Any:
        if rule is None:
            return call.op(**dict(zip(call.names, map(_as_list, inputs), strict=True)), **call.attributes)
        drawn = {"generator": GENERATOR} if rule.random else {}
        with _named(call, "forward"):
            made = rule.forward(*inputs, **call.told(), **drawn)
        if not isinstance(made, tuple) or len(made) != 2:
            raise _wrong(call, "forward", "returns no pair of output and saved")
        output, self.saved[call] = made
        return output

    def _opaque(self, call: Call, rule: type[Map] | Map, inputs: tuple[Any, ...]) -> list[Any]:
        token = f"saved_{call.outputs[0]}"
        self.saved[call] = token
        self.recorder.scope = Scope(call)
        op = Opaque(rule, Step.FORWARD, token, tuple(call.told().items()))
        return self.recorder.call(op, inputs, [self._like(value) for value in call.outputs], ())

    def _promised(self, call: Call) -> list[Any]:
        """The outputs of a map that is applied at the turn: tensors that are given a meaning there."""
        made = [self._like(value) for value in call.outputs]
        return [None if m is None else self.recorder.given(*m, Origin.MADE) for m in made]

    def _like(self, value: Value | None) -> tuple[str, Like] | None:
        if value is None:
            return None
        return value.name, (value.shape, contiguous(value.shape), value.dtype, self.device)

    def _up(self, call: Call, rule: type[Map] | Map) -> None:
        """One call, backward."""
        read = [None if v is None else self.formed.pop(v, None) for v in call.outputs]
        if all(d is None for d in read):
            return
        d_output = tuple(read) if call.several else read[0]
        begin = len(self.recorder.instructions)
        with self.recorder.recording(Scope(call, up=True)):
            if isinstance(rule, type) and issubclass(rule, Turn):
                gradients = self._turn(call, rule, d_output)
            elif rule.opaque:
                gradients = self._opaque_vjp(call, rule, read)
            else:
                looks_up = not self.plan.tables.isdisjoint(call.values())
                with _named(call, "VJP"):
                    gradients = (rule.vjp_rows if looks_up else rule.vjp)(self.saved.pop(call), d_output)  # type: ignore[union-attr]
            self._deliver(call, gradients, begin)

    def _turn(self, call: Call, rule: type[Turn], d_output: Any) -> Any:
        output, gradients = rule.turn(d_output, *(self._tensors(item) for item in call.inputs), **call.told())
        (value,) = call.outputs
        assert value is not None
        now = len(self.recorder.instructions)
        self.turning = self.recorder.operand(self.now[value]), self.recorder.operand(output), now
        self.recorder.rename(output, value.name)
        return gradients

    def _opaque_vjp(self, call: Call, rule: type[Map] | Map, read: Sequence[Any]) -> Any:
        token = self.saved.pop(call)
        wanted = [v for item in call.inputs for v in (item if isinstance(item, tuple) else (item,))]
        floats = [v if isinstance(v, Value) and v.dtype.is_floating_point else None for v in wanted]
        outputs = [None if v is None else (self.names.new(f"d_{v.name}_of"), self._as(self.now[v])) for v in floats]
        keeps = [self.now[v] for v in (*call.values(), *call.outputs) if v is not None]
        shape = tuple(len(item) if isinstance(item, tuple) else None for item in call.inputs)
        op = Opaque(rule, Step.VJP, token, (), shape)
        left = iter(self.recorder.call(op, (tuple(read) if call.several else read[0],), outputs, keeps))
        return [tuple(next(left) for _ in item) if isinstance(item, tuple) else next(left) for item in call.inputs]

    def _as(self, tensor: Tensor) -> Like:
        return (tuple(tensor.shape), contiguous(tensor.shape), tensor.dtype, tensor.device)

    def _deliver(self, call: Call, gradients: Sequence[Any], begin: int) -> None:
        """Each gradient, to the value that it belongs to."""
        if not isinstance(gradients, tuple | list):
            raise _wrong(call, "VJP", f"returns no tuple of gradients, one for each of {len(call.inputs)} inputs")
        if len(gradients) != len(call.inputs):
            raise _wrong(call, "VJP", f"gives {len(gradients)} gradients for {len(call.inputs)} inputs")
        for item, gradient in zip(call.inputs, gradients, strict=True):
            several = isinstance(item, tuple) and gradient is not None
            for value, d in zip(item, gradient, strict=True) if several else [(item, gradient)]:
                if isinstance(value, Value) and value in self.plan.wanted and d is not None:
                    self._add(call, value, d, begin)

    def _add(self, call: Call, value: Value, d: Any, begin: int) -> None:
        if value in self.plan.tables:
            self.rows.append((self.graph.slots[value].name, *d))
            return
        if tuple(d.shape) != value.shape:
            raise _wrong(call, "VJP", f"gives {value} a gradient of shape {tuple(d.shape)}, not {value.shape}")
        d = d if d.dtype == value.dtype else d.to(value.dtype)  # numbers of two dtypes met, and the wider one won
        if value in self.gradients:
            place = self.gradients[value]
            place.add_(d) if self.add or value in self.written else place.copy_(d)
            self.written.add(value)
            return
        first = self.formed.get(value)
        self.formed[value] = d if first is None else torch.add(first, d)
        if self.recorder.is_made(self.formed[value], begin):
            self.recorder.rename(self.formed[value], self.names.new(f"d_{value.name}"))

    def _complete(self, value: Value) -> None:
        """Announce a gradient; nothing came: it is zero."""
        if value not in self.written and not self.add:
            self.gradients[value].zero_()
        self.recorder.instructions.append(
            Instruction(Announcement(self.graph.slots[value].name), (), {}, (), False, self.recorder.scope)
        )

    def _tensors(self, item: Any) -> Any:
        if isinstance(item, tuple):
            return tuple(self._tensors(i) for i in item)
        return self.now[item] if isinstance(item, Value) else item

    def _traced(self, turn: int, d_loss: Tensor, moved: dict[str, Tensor]) -> Trace:
        graph, operand = self.graph, self.recorder.operand
        loss_sum, count, *outputs = map(self._tensors, (graph.loss_sum, graph.count, *graph.outputs, *graph.state))
        trace = Trace(
            instructions=self.recorder.instructions,
            turn=turn,
            inputs=[operand(self.now[v]) for v in graph.inputs],
            states={operand(self.now[v]): slot.name for v, slot in graph.slots.items()},
            gradients={operand(d): graph.slots[v].name for v, d in self.gradients.items()},
            constants={**{operand(self.now[v]): c for v, c in graph.constants.items()}, **self.recorder.constants},
            d_loss=operand(d_loss),
            returned=self.recorder.read((loss_sum, count, outputs, moved, self.rows)),
        )
        return trace if self.turning is None else turned(trace, *self.turning)


@contextmanager
def _named(call: Call, step: str) -> Iterator[None]:
    """What fails within tells in a note of which map it is."""
    try:
        yield
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise _wrong(call, step, "looks at numbers, which are not there yet: such a map says opaque = True") from error
    except Exception as error:
        error.add_note(f"in the {step} of the map of {call.op} in {call.where}")
        raise


def _wrong(call: Call, step: str, what: str) -> RequestError:
    return RequestError("engine", "manual", f"the {step} of the map of {call.op} in {call.where} {what}")


def _as_list(item: Any) -> Any:
    return list(item) if isinstance(item, tuple) else item
