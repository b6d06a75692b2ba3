"""What a node of an exported graph tells of itself: where it stands in the model, whether gradients flow through it."""

from collections.abc import Sequence

from torch._ops import OpOverload
from torch.fx import Node

from distbp.errors import RequestError
from distbp.program.blocks import NO_GRAD


def place(node: Node) -> tuple[str | None, str]:
    """The path in the user's module of the module that called this node, and its class; (None, "") for the loss."""
    path, kind = list(node.meta["nn_module_stack"].values())[-1]
    if path != "module" and not path.startswith("module."):
        return None, ""
    plain = path.split("@")[0].removeprefix("module").removeprefix(".")
    return plain, (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def refusal(reason: str, node: Node) -> Exception:
    """The RequestError for a node that no program can hold."""
    path, kind = place(node)
    where = "the loss" if path is None else f"{path} ({kind})" if path else kind
    return RequestError("engine", "manual", f"in {where}: {reason}; engine=autograd runs the module itself")


def still(node: Node) -> bool:
    """Whether no gradient flows through the node: it stood under no_grad, or torch itself formed none there."""
    known = isinstance(node.target, OpOverload) and node.target.namespace == "aten" and "tensor_meta" in node.meta
    return bool(node.meta.get(NO_GRAD)) or (known and not _tracked(node))


def changed_without_gradient(node: Node, wholes: Sequence[Node]) -> bool:
    """Whether the node, an op in place under no_grad, changes a tensor, or one of those that it is a part of, whose
    gradient goes on.
    """
    return bool(node.meta.get(NO_GRAD)) and any(_tracked(one) for one in (node, *wholes) if "tensor_meta" in one.meta)


def _tracked(node: Node) -> bool:
    """Whether torch, when it exported the node's output, went on with its gradient."""
    return bool(node.meta["tensor_meta"].requires_grad)
