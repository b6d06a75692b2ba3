"""How the files of the suite are dealt out to processes that run it side by side: ``pytest -n 2 --dist loadfile``."""

import re
from functools import cache

from xdist.scheduler import LoadFileScheduling

LAUNCHES = re.compile(r"^from tests\.(launch|kill)\b|\b(mpirun|torchrun)\b.*-n", flags=re.MULTILINE)
POOL = re.compile(r"^def .*\bpool\b", flags=re.MULTILINE)


class OneJobAtATime(LoadFileScheduling):
    """A file belongs to one process, and all files that launch jobs of several ranks belong to the same.

    Ranks wait for one another, and their tests say how soon something has to happen: several such jobs at a time would
    be more than a small machine has cores for. So the launches come first, all in one process, and after them there
    the files that use the resident ranks of ``tests/pool``; the others take such a file when nothing else is left.
    """

    def _assign_work_unit(self, node: object) -> None:
        launches = "launches" in self.assigned_work.get(node, {})
        rank = lambda scope: 0 if scope == "launches" else 1 if launches == self._pooled(scope) else 2  # noqa: E731
        self.workqueue.move_to_end(min(self.workqueue, key=rank), last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "launches" if LAUNCHES.search(self._text(file)) and not self._pooled(file) else file

    def _pooled(self, file: str) -> bool:
        return bool(POOL.search(self._text(file)))

    @cache  # noqa: B019 - there is one dealer, as long as the process
    def _text(self, file: str) -> str:
        return (self.config.rootpath / file).read_text()
