"""torch.export, quietly and by one thread at a time; what it cannot follow is refused in one line."""

import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.export import ExportedProgram
from torch.fx import config
from torch.nn.modules import transformer
from torch.utils._pytree import tree_map

from distbp.errors import RequestError
from distbp.program.followed import Followed

MODULES = threading.Lock()
"""Held while a module is exported, and by whoever reads one's tensors: meanwhile torch.export puts its own in their
place, and it patches torch. Ranks may be threads of one process, and engines share a module."""

LOGS = ("torch.fx.experimental.symbolic_shapes", "torch._subclasses.fake_tensor")


def exported(
    whole: Followed, inputs: tuple[Tensor, ...], target: Any, state: tuple[Tensor, ...] = ()
) -> ExportedProgram:
    """``whole`` as torch.export sees it; the caller holds ``MODULES``. RequestError where it cannot be followed."""
    try:
        with torch.enable_grad(), _quiet(), _without_stacks(), _values_unread():
            return torch.export.export(whole, distinct((inputs, target, state)), strict=False)
    except RequestError:
        raise
    except Exception as error:
        raise _not_exported(whole.module, error) from error


def distinct(example: Any) -> Any:
    """``example`` with a tensor of its own in each place: torch.export would take equal ones for one input."""
    seen: set[int] = set()

    def own(x: Any) -> Any:
        twice = isinstance(x, Tensor) and id(x) in seen
        seen.add(id(x))
        return x.clone() if twice else x

    return tree_map(own, example)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch.export's own warnings, logs and prints: where it fails, our one line says it."""
    before = {log: log.disabled for log in map(logging.getLogger, LOGS)}
    try:
        for log in before:
            log.disabled = True
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, disabled in before.items():
            log.disabled = disabled


@contextmanager
def _without_stacks() -> Iterator[None]:
    """Without the stack of Python's frames that torch notes for each node, which take a sixth of the time.

    A version that does not know the word notes them all the same.
    """
    before = getattr(config, "do_not_emit_stack_traces", False)
    config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        config.do_not_emit_stack_traces = before


@contextmanager
def _values_unread() -> Iterator[None]:
    """torch's transformer looks into a mask, to leave it out where it is the causal one: here it takes it as it is; and
    distributions look whether their parameters are what they should be.

    A version that does not look so has nothing to leave.
    """
    as_given = lambda _mask, is_causal=None, _size=None: is_causal is True  # noqa: E731
    with (
        patch.object(transformer, "_detect_is_causal_mask", as_given, create=True),
        patch.object(Distribution, "_validate_args", new=False),
    ):
        yield


def _not_exported(module: nn.Module, error: Exception) -> RequestError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    allowed = (
        f"torch.export cannot follow {type(module).__name__} ({reason}); a model whose control flow depends on data, "
        "or that is wrong for this batch, has no program: engine=autograd runs the module itself"
    )
    return RequestError("engine", "manual", allowed)
