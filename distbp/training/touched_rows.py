"""The rows of a sparse table that a step updates, as a parameter of their own for an element-wise optimizer.

Before an update they are taken out of the table, and their state out of tables of state; afterwards they are put back.
So any optimizer of flat buffers updates them with its own kernel, and no step costs more for a higher table.

A row that is not looked up stays as it is: neither momentum nor weight decay moves it, and its running moments wait for
its next look-up. That is where the rule differs from a dense one. For plain SGD and Adagrad without weight decay it
does not: there a gradient of zero changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from torch.optim import Optimizer

from distbp.rows import Rows, none_of
from distbp.training.groups import Group


class TouchedRows:
    """Of the table ``name``, (V, D), of a ``group`` of parameters.

    ``parameter``, (U, D), holds the rows in hand; there are none between steps.
    """

    def __init__(self, name: str, table: Tensor, group: Group) -> None:
        self.name = name
        self.group = group
        self.parameter = none_of(table).values.detach()
        self._table = table.detach()
        self._state: dict[str, Tensor] = {}  # by kind, each (V, D), zeros where no row has been touched

    def take(self, rows: Rows, optimizer: Optimizer) -> None:
        """The rows that have gradients, with their state."""
        self.parameter.data = self._table.index_select(0, rows.numbers)
        self.parameter.grad = rows.values
        self._remember(optimizer)
        for kind, of_all in self._state.items():
            optimizer.state[self.parameter][kind] = of_all.index_select(0, rows.numbers)

    def put_back(self, rows: Rows, optimizer: Optimizer) -> None:
        """What the optimizer has made of them, in their places."""
        self._table.index_copy_(0, rows.numbers, self.parameter)
        self._remember(optimizer)
        for kind, value in self._of_rows(optimizer).items():
            self._state[kind].index_copy_(0, rows.numbers, value)
            optimizer.state[self.parameter][kind] = value[:0]
        self.parameter.data, self.parameter.grad = self.parameter.data[:0], None

    def by_name(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """The state's tensors as a checkpoint names them; a number that all rows share has no name."""
        shared = {f"{kind}/": value for kind, value in self._shared(optimizer).items()}
        return {f"{kind}/{self.name}": value for kind, value in self._state.items()} | shared

    def restore(self, state: Mapping[str, Tensor], optimizer: Optimizer) -> None:
        """Put a state from ``by_name`` back."""
        for key, value in state.items():
            kind, _, name = key.partition("/")
            if name == self.name:
                self._state[kind] = value.to(self._table.device, copy=True)
                optimizer.state[self.parameter][kind] = none_of(self._table).values
            elif not name:
                optimizer.state[self.parameter][kind] = value.to(self._table.device, copy=True)

    def _remember(self, optimizer: Optimizer) -> None:
        """A table for each kind of state that the optimizer has come to have."""
        for kind in self._of_rows(optimizer):
            if kind not in self._state:
                self._state[kind] = torch.zeros_like(self._table)

    def _of_rows(self, optimizer: Optimizer) -> dict[str, Tensor]:
        state = optimizer.state[self.parameter].items()
        return {kind: value for kind, value in state if isinstance(value, Tensor) and value.dim() == 2}

    def _shared(self, optimizer: Optimizer) -> dict[str, Tensor]:
        state = optimizer.state[self.parameter].items()
        return {kind: value for kind, value in state if isinstance(value, Tensor) and value.dim() == 0}


def touching(
    tables: Sequence[TouchedRows], gradients: Mapping[str, Rows], optimizer: Optimizer
) -> AbstractContextManager[None]:
    """Within, the optimizer has in hand the rows of each table that have gradients."""
    return _touching(tables, gradients, optimizer) if tables else nullcontext()


@contextmanager
def _touching(tables: Sequence[TouchedRows], gradients: Mapping[str, Rows], optimizer: Optimizer) -> Iterator[None]:
    with torch.no_grad():
        for rows in tables:
            rows.take(gradients[rows.name], optimizer)
        yield
        for rows in tables:
            rows.put_back(gradients[rows.name], optimizer)
