"""From a module and its loss to a Graph, through torch.export."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

from distbp.errors import RequestError
from distbp.precision import FP32, Precision
from distbp.program.blocks import opened
from distbp.program.calls import Calls
from distbp.program.casts import Casts
from distbp.program.export import MODULES, exported
from distbp.program.followed import Followed, refuse_hooks
from distbp.program.graph import Graph, Slot, Value, needed
from distbp.program.names import Names, of_module


def lower(
    module: nn.Module,
    loss: Callable[[Any, Any], Any],
    inputs: tuple[Tensor, ...],
    target: Any,
    state: tuple[Tensor, ...] = (),
    *,
    precision: Precision = FP32,
) -> Graph:
    """The graph of ``loss(module(*inputs), target)``, for these shapes and dtypes and the module's present mode.

    A module that carries ``state`` is called with its tensors besides, and returns ``(output, state)``. The casts of
    ``precision`` are calls like others.
    Raises RequestError for a model that torch.export cannot follow, and for what its graph would show wrongly.
    """
    with MODULES:
        whole, device = Followed(module, loss, precision), inputs[0].device
        refuse_hooks(module.named_parameters())
        with precision.autocast(device):
            program = exported(whole, inputs, target, state)
        opened(program.graph_module)
        return _Lowering(whole, program, device).graph(carried=len(state))


class _Lowering:
    """The work of one lowering: placeholders first, then the calls in order, then what is returned."""

    def __init__(self, whole: Followed, exported: ExportedProgram, device: torch.device) -> None:
        self.whole = whole
        self.exported = exported
        self.names = Names()
        self.casts = Casts(whole.precision, self.names, device)
        self.canonical = {id(t): n for n, t in (*whole.module.named_parameters(), *whole.module.named_buffers())}
        self.inputs: list[Value] = []
        self.slots: dict[Value, Slot] = {}
        self.constants: dict[Value, Tensor] = {}
        self.by_name: dict[str, Value] = {}

    def graph(self, *, carried: int) -> Graph:
        """The graph. The last ``carried`` of what is returned are the new state."""
        nodes = list(self.exported.graph.nodes)
        placeholders = [node for node in nodes if node.op == "placeholder"]
        held = {node: self._placeholder(node, spec) for node, spec in self._specs(placeholders)}
        buffers = [node for node, spec in self._specs(placeholders) if spec.kind == InputKind.BUFFER]
        calls = Calls(held, self.names, buffers, self.casts)
        calls.read([node for node in nodes if node.op == "call_function"])
        returned = [calls.value(item) for item in self._returned(nodes[-1])]
        loss_sum, count, *outputs = returned
        moved = {value: now for node, value in held.items() if (now := calls.value(node)) is not value}
        return Graph(
            title=type(self.whole.module).__name__,
            inputs=tuple(self.inputs),
            slots=self.slots,
            constants=self.constants,
            calls=needed(calls.calls, [*returned, *moved.values()]),
            loss_sum=loss_sum,
            count=count,
            outputs=tuple(outputs[: len(outputs) - carried]),
            state=tuple(outputs[len(outputs) - carried :]),
            moved=moved,
            spec=self.exported.call_spec.out_spec,
        )

    def _returned(self, output: Node) -> list[Any]:
        """What the module itself returns: torch.export puts changed buffers before it."""
        return list(output.args[0])  # type: ignore[arg-type]

    def _specs(self, placeholders: list[Node]) -> list[tuple[Node, Any]]:
        return list(zip(placeholders, self.exported.graph_signature.input_specs, strict=True))

    def _placeholder(self, node: Node, spec: Any) -> Value:
        if spec.kind == InputKind.USER_INPUT:
            value = self._new(node, node.name)
            self.inputs.append(value)
            return value
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            return self._state(node, spec.target)
        constant = self.exported.constants.get(spec.target)
        if not isinstance(constant, Tensor):
            raise RequestError("engine", "manual", f"no program holds {spec.target}; engine=autograd runs the module")
        value = self._new(node, spec.target)
        self.constants[value] = constant
        return value

    def _state(self, node: Node, target: str) -> Value:
        """The value of the parameter or buffer at ``target``; tied parameters are one value."""
        path, _, leaf = target.rpartition(".")
        owner = self.whole.get_submodule(path)
        tensor = owner._parameters.get(leaf, owner._buffers.get(leaf))
        name = self.canonical.get(id(tensor), target.removeprefix("module."))
        if name not in self.by_name:
            room = path.removeprefix("module").removeprefix(".")
            stem = of_module(room, type(owner).__name__) + "_" if room else ""
            value = self.by_name[name] = self._new(node, stem + leaf)
            known = leaf in owner._parameters and id(tensor) in self.canonical
            trainable = known and tensor is not None and tensor.requires_grad
            self.slots[value] = Slot(name, owner, leaf, trainable)
        return self.by_name[name]

    def _new(self, node: Node, wish: str) -> Value:
        example = node.meta.get("val")
        shape, dtype = (tuple(example.shape), example.dtype) if isinstance(example, Tensor) else ((), torch.int64)
        return Value(self.names.new(wish), shape, dtype)
