"""The nodes of an exported graph, read one by one into Calls, with torch.export's ways made plain.

In-place ops become their out-of-place twins, numbers in the place of tensors their scalar overloads, broadcasting by
hand becomes ``expand``; norms that keep running statistics return the new ones; checks that the shapes and dtypes of a
program decide are dropped. What autocast casts is cast by calls of its own.
"""

import operator
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Node

from distbp.precision import NARROW
from distbp.program.blocks import NO_AUTOCAST
from distbp.program.casts import Casts, short
from distbp.program.graph import Call, Value
from distbp.program.in_place import twin_of
from distbp.program.memory import WRITERS, Memory, told, where_of, wholes
from distbp.program.names import Names, of_module, of_op
from distbp.program.node import changed_without_gradient, place, refusal, still

aten = torch.ops.aten
SCALARS = {"Tensor": "Scalar", "Tensor_mode": "Scalar_mode"}
CASTS_FIRST = (
    *(aten.sum, aten.mean, aten.prod, aten.cumsum, aten.cumprod, aten.linalg_vector_norm, aten.linalg_norm),
    *(aten.softmax, aten.log_softmax, aten.special_softmax, aten.special_log_softmax),
)
"""Ops that, told a ``dtype``, cast what they read before anything else: a call of its own here."""

_TENSORS = {"Tensor", "Optional[Tensor]", "List[Tensor]", "List[Optional[Tensor]]", "Optional[List[Tensor]]"}


class Calls:
    """The calls read so far. ``held`` gives the values of the placeholders."""

    def __init__(self, held: Mapping[Node, Value], names: Names, buffers: Collection[Node], casts: Casts) -> None:
        self.calls: list[Call] = []
        self._now: dict[Node, Any] = dict(held)  # a node's present value: an in-place op replaces its input's
        self._names = names
        self._casts = casts
        self._crowd: Counter[str] = Counter()  # how many ops each module calls, its submodules' included
        self._buffers = set(buffers)
        self._groups: dict[Node, list[Node]] = {}  # the names that ops in place have given one tensor, the first first
        self._memory = Memory()
        for node, value in held.items():
            self._memory.note(node, value)
        self._given = self._memory.all()  # what others see, too: not to be changed in place

    def value(self, item: Any) -> Any:
        """The value of a node, within lists too; a constant is itself.

        Raises RequestError for one that lies in a tensor that has been changed through another.
        """
        if isinstance(item, Node):
            value = self._now[item]
            if isinstance(value, Value) and value in self._memory.stale:
                raise refusal(f"{value} is read after a tensor in whose memory it lies was changed in place", item)
            return value
        return tuple(self.value(i) for i in item) if isinstance(item, list | tuple) else item

    def read(self, nodes: Sequence[Node]) -> None:
        """Read the nodes that call functions, in order."""
        self._crowd.update(key for node in nodes for key in node.meta["nn_module_stack"])
        for node in nodes:
            self._read(node)

    def _read(self, node: Node) -> None:
        if node.target is operator.getitem:
            self._now[node] = self._element(node)
        elif not isinstance(node.target, OpOverload):
            raise refusal(f"{node.target} is no op of torch that a program can hold", node)
        elif str(node.target).startswith("aten._assert"):
            return
        elif str(node.target) == "aten.broadcast_tensors.default":
            self._now[node] = self._broadcast(node)
        elif node.target is aten.batch_norm.default and node.args[5]:
            self._now[node] = self._batch_norm(node)
        elif node.target is aten.instance_norm.default and node.args[5] and node.args[3] is not None:
            self._now[node] = self._instance_norm(node)
        elif node.target._schema.is_mutable:
            self._replace(node, node.target)
            return
        else:
            self._now[node] = self._call(node, node.target)
        self._memory.note(node, self._now[node])

    def _call(self, node: Node, op: OpOverload) -> Any:
        example = node.meta["val"]
        wish = self._wish(node, op)
        op = aten.reshape.default if op is aten.view.default else op  # a program may lay its images out in another way
        inputs, names, attributes = self._arguments(node, op)
        if op._overloadname in SCALARS and inputs[1:] and isinstance(inputs[1], int | float):
            op = getattr(op.overloadpacket, SCALARS[op._overloadname])
            inputs, names, attributes = self._arguments(node, op)
        if op.overloadpacket in CASTS_FIRST and attributes["dtype"] not in (None, inputs[0].dtype):
            inputs = (self._cast(node, inputs[0], attributes["dtype"]),)
        if not inputs and "dtype" in attributes:
            attributes["dtype"] = example.dtype  # torch's default is another by the time that the program runs, perhaps
        path, kind = place(node)
        several = not isinstance(example, Tensor)
        if several and not _tensors(example):
            raise refusal(f"{op} gives a number that depends on data", node)
        outputs = tuple(self._new(wish, e) for e in (example if several else [example]))
        self._add(Call(op, inputs, names, attributes, outputs, several, path, kind, still(node)), node)
        return outputs if several else outputs[0]

    def _wish(self, node: Node, op: OpOverload) -> str:
        """The module's name where it calls this op alone, else the op's."""
        path, kind = place(node)
        alone = self._crowd[list(node.meta["nn_module_stack"])[-1]] == 1
        return of_module(path, kind) if path and alone else of_op(str(op))

    def _new(self, wish: str, example: Any) -> Value | None:
        if not isinstance(example, Tensor):
            return None
        return Value(self._names.new(wish), tuple(example.shape), example.dtype)

    def _arguments(self, node: Node, op: OpOverload) -> tuple[tuple[Any, ...], tuple[str, ...], dict[str, Any]]:
        """The node's arguments for ``op``, parted into tensors, in order, and attributes, by name."""
        left_out = {a.name: a.default_value for a in cast("OpOverload", node.target)._schema.arguments}
        inputs: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        for i, declared in enumerate(op._schema.arguments):
            otherwise = node.kwargs.get(declared.name, left_out.get(declared.name, declared.default_value))
            given = node.args[i] if i < len(node.args) else otherwise
            if str(declared.type) in _TENSORS:
                inputs[declared.name] = self.value(given)
            else:
                attributes[declared.name] = list(given) if isinstance(given, list | tuple) else given
        return tuple(inputs.values()), tuple(inputs), attributes

    def _element(self, node: Node) -> Any:
        source, index = node.args
        return self.value(source)[index]

    def _broadcast(self, node: Node) -> tuple[Any, ...]:
        """``broadcast_tensors``: those that have the common shape already are themselves."""
        return tuple(
            self.value(item) if self.value(item).shape == tuple(example.shape) else self._expand(node, item, example)
            for item, example in zip(node.args[0], node.meta["val"], strict=True)  # type: ignore[arg-type]
        )

    def _expand(self, node: Node, item: Any, example: Tensor) -> Value:
        size = {"size": list(example.shape)}
        return self._made(node, "expand", aten.expand.default, (self.value(item),), size, example)

    def _cast(self, node: Node, x: Value, dtype: torch.dtype) -> Value:
        like = torch.empty(x.shape, dtype=dtype, device="meta")
        return self._made(node, f"{x.name}_{short(dtype)}", aten._to_copy.default, (x,), {"dtype": dtype}, like)

    def _made(  # noqa: PLR0917 - a call's parts
        self, node: Node, wish: str, op: OpOverload, inputs: tuple[Any, ...], given: dict[str, Any], example: Tensor
    ) -> Value:
        """A call that stands for ``node`` or a piece of it: ``op`` of these tensors and attributes."""
        path, kind = place(node)
        tensors, others = [], {}
        for declared in op._schema.arguments:
            if str(declared.type) in _TENSORS:
                tensors.append(declared.name)
            else:
                others[declared.name] = given.get(declared.name, declared.default_value)
        output = Value(self._names.new(wish), tuple(example.shape), example.dtype)
        self._add(Call(op, inputs, tuple(tensors), others, (output,), False, path, kind, still(node)), node)
        return output

    def _add(self, call: Call, node: Node) -> None:
        """One call more."""
        self.calls += [call] if node.meta.get(NO_AUTOCAST) else self._casts.around(call)

    def _replace(self, node: Node, op: OpOverload) -> None:
        """An op in place, as its twin that leaves its input alone: later readers of the input read the new value."""
        name, twin = twin_of(op)
        changed = node.kwargs.get(name, node.args[0])
        if twin is None or not isinstance(changed, Node):
            raise refusal(f"{op} changes its arguments in a way that no program follows", node)
        old, above = self.value(changed), wholes(changed, self._first)
        root = self._first(above[-1][1] if above else changed)
        if where_of(root) in self._given and root not in self._buffers:
            raise refusal(f"{op} changes {old} in place, which others may see", node)
        if changed_without_gradient(node, [whole for _, whole in above]):
            raise refusal(f"{op} under no_grad changes {old} in place, whose gradient goes on", node)
        made = [self._replaced(node, twin)]
        for view, whole in above:
            op, inputs = WRITERS[view.target], (self.value(whole), made[-1])
            made.append(self._made(node, op.overloadpacket.__name__, op, inputs, told(view), whole.meta["val"]))
        self._go_on([changed, *(whole for _, whole in above)], made, node)

    def _first(self, node: Node) -> Node:
        """The first name of a node's tensor."""
        return self._groups.get(node, [node])[0]

    def _go_on(self, changed: Sequence[Node], values: Sequence[Any], node: Node | None = None) -> None:
        """From now on each of ``changed``, which lie in one memory, has its value, and ``node``, one more name of the
        first, has that.
        """
        self._memory.changed(where_of(changed[0]), [self._now[one] for one in changed], values)
        group = self._groups.setdefault(changed[0], [changed[0]])
        if node is not None:
            self._groups[node] = group
            group.append(node)
        for one, value in zip(changed, values, strict=True):
            self._now.update(dict.fromkeys(self._groups.get(one, [one]), value))

    def _replaced(self, node: Node, twin: OpOverload) -> Any:
        """What an op in place leaves; to copy a tensor of the same look is to go on with that tensor."""
        if twin is aten.copy.default and not still(node):
            old, new = (self.value(item) for item in node.args[:2])
            if (old.shape, old.dtype) == (new.shape, new.dtype):
                return new
        return self._call(node, twin)

    def _batch_norm(self, node: Node) -> Value:
        """Batch norm in training, with the new running statistics as results: later readers see those."""
        x, weight, bias, mean, variance, _, momentum, eps, *_ = cast("tuple[Any, ...]", node.args)
        y = node.meta["val"]
        path, kind = place(node)
        name = self._wish(node, aten.batch_norm.default)
        told = {"training": True, "momentum": momentum, "eps": eps}
        inputs, names = [self.value(item) for item in (x, weight, bias)], ["input", "weight", "bias"]
        output = Value(self._names.new(name), tuple(y.shape), y.dtype)
        like = y.new_empty(y.shape[1:2], dtype=torch.float32 if y.dtype in NARROW else y.dtype)
        statistics = [self._new(f"{name}_{what}", like) for what in ("mean", "invstd")]
        if mean is None:
            op = aten._native_batch_norm_legit.no_stats
            outputs = (output, *statistics)
        else:
            op = aten._native_batch_norm_legit_functional.default
            inputs += [self.value(mean), self.value(variance)]
            names += ["running_mean", "running_var"]
            changed = [self._new(f"new_{self.value(item)}", item.meta["val"]) for item in (mean, variance)]
            for item, now in zip((mean, variance), changed, strict=True):
                self._go_on([item], [now])
            outputs = (output, *statistics, *changed)
        self._add(Call(op, tuple(inputs), tuple(names), told, outputs, True, path, kind, still(node)), node)
        return output

    def _instance_norm(self, node: Node) -> Value:
        """Instance norm without its running statistics, and what they become: they follow the examples' means."""
        x, weight, bias, *running = (self.value(item) for item in node.args[:5])
        told = dict(zip(("use_input_stats", "momentum", "eps", "cudnn_enabled"), node.args[5:], strict=True))
        name, y = self._wish(node, aten.instance_norm.default), node.meta["val"]
        axes, like = list(range(2, y.dim())), y.new_empty(y.shape[1:2])
        within, one = {"dim": axes, "correction": 1}, y.new_empty(y.shape[:2])
        mean = self._made(node, f"{name}_mean", aten.mean.dim, (x,), {"dim": [0, *axes]}, like)
        variances = self._made(node, f"{name}_variances", aten.var.correction, (x,), within, one)
        variance = self._made(node, f"{name}_variance", aten.mean.dim, (variances,), {"dim": [0]}, like)
        for item, old, now in zip(node.args[3:5], running, (mean, variance), strict=True):
            moved = self._made(node, f"new_{old}", aten.lerp.Scalar, (old, now), {"weight": told["momentum"]}, like)
            self.calls[-1].still = True
            self._go_on([cast("Node", item)], [moved])
        return self._made(node, name, aten.instance_norm.default, (x, weight, bias, None, None), told, y)


def _tensors(example: Any) -> bool:
    return isinstance(example, list | tuple) and all(isinstance(item, Tensor) or item is None for item in example)
