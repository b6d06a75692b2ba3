"""Looks at the layers of a run: every so many steps, and where the loss jumps."""

from torch import Tensor

from distbp.record import Record
from distbp.rows import Rows
from distbp.training.data_parallel import DataParallel
from distbp.training.jumps import Jump, Jumps
from distbp.training.layers import Layers, Norms, norm


class Looks:
    """Every ``every`` steps (None: never) the norms of each layer; where the loss jumps, those of its gradients.

    Whether to look follows from the step and the loss, which are the same on every worker: so all take part, and a step
    without a look costs nothing. Of a sparse table the rows count that the step has looked up; every worker has them.
    """

    def __init__(self, parallel: DataParallel, every: int | None) -> None:
        self.every = every
        self.jumps = Jumps()
        self._parallel = parallel
        self._layers = Layers(parallel.weights)
        self._jump: Jump | None = None
        self._whole = False
        self._pieces: list[Tensor] = []
        self._before: list[Tensor] = []
        self._rows_before: dict[str, Tensor] = {}
        self._of_rows: dict[str, float] = {}

    def before(self, loss: float, *, step: int) -> None:
        """The gradients of ``step`` are there, undivided, and its update has not begun."""
        self._jump = self.jumps.take(loss)
        self._whole = self.every is not None and (step + 1) % self.every == 0
        if self._whole or self._jump:
            self._pieces = [self._layers.pieces(self._parallel.weights.gradients)]
            self._of_rows = {name: norm(rows.values) for name, rows in self._touched().items()}
        if self._whole:
            self._before = [share.clone() for share in self._parallel.weights.shares]
            self._rows_before = {name: self._taken(name, rows) for name, rows in self._touched().items()}

    def after(self, count: float, record: Record, *, step: int) -> None:
        """The update has been made: what was seen, to ``record``. ``count`` divides the gradients. Collective."""
        if not (self._whole or self._jump):
            return
        updates = self._changes() if self._whole else {}
        gradients, *others = self._layers.totals(self._pieces, step=step)
        updates |= {name: (others[1][name], others[0][name]) for name in gradients if others}
        found = {name: value / (count or 1.0) for name, value in (gradients | self._of_rows).items()}
        mean = {name: found[name] for name, _ in self._parallel.module.named_parameters() if name in found}
        if self._jump:
            record.jump(step + 1, self._jump, mean)
        if self._whole:
            record.layers(step + 1, {name: Norms(value, *updates[name]) for name, value in mean.items()})
        self._pieces, self._before, self._rows_before = [], [], {}

    def _changes(self) -> dict[str, tuple[float, float]]:
        """Two kinds of pieces more, of the weights before and of their update, in the memory of those before.

        Of the rows of tables the norms of both, the update's first.
        """
        self._pieces.append(self._layers.pieces(self._before))
        for before, now in zip(self._before, self._parallel.weights.shares, strict=True):
            before.sub_(now)
        self._pieces.append(self._layers.pieces(self._before))
        return {
            name: (norm(self._taken(name, rows) - self._rows_before[name]), norm(self._rows_before[name]))
            for name, rows in self._touched().items()
        }

    def _touched(self) -> dict[str, Rows]:
        return {name: rows for name, rows in self._parallel.row_gradients.items() if rows.numbers.numel()}

    def _taken(self, name: str, rows: Rows) -> Tensor:
        return self._parallel.engine.tables[name].detach().index_select(0, rows.numbers)
