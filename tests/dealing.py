"""How the files of the suite are dealt out to processes that run it side by side: ``pytest -n 2 --dist loadfile``."""

import re
from functools import cache

from xdist.scheduler import LoadFileScheduling

LAUNCHES = re.compile(r"^from tests\.(launch|kill)\b|\b(mpirun|torchrun)\b.*-n", flags=re.MULTILINE)
POOL = re.compile(r"^def .*\bpool\b", flags=re.MULTILINE)
EVERY_POOL = re.compile(r"\bGROUPS\b")
KINDS = ("launches", "every pool", "some pool", "no pool")


class OneJobAtATime(LoadFileScheduling):
    """A file belongs to one process, and all files that only launch jobs of several ranks belong to the same.

    Ranks wait for one another, and those tests say how soon something has to happen: several such jobs at a time would
    be more than a small machine has cores for. So that process has the launches first, and then the files that use the
    resident ranks of ``tests/pool``, all numbers of them and some; the others begin at the other end, and come to such
    files when nothing else is left.
    """

    def _assign_work_unit(self, node: object) -> None:
        if "launches" not in self.workqueue:
            order = KINDS if "launches" in self.assigned_work.get(node, {}) else KINDS[::-1]
            self.workqueue.move_to_end(min(self.workqueue, key=lambda file: order.index(self._kind(file))), last=False)
        else:
            self.workqueue.move_to_end("launches", last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        kind = self._kind(file)
        return kind if kind == "launches" else file

    @cache  # noqa: B019 - there is one dealer, as long as the process
    def _kind(self, file: str) -> str:
        text = (self.config.rootpath / file).read_text()
        if POOL.search(text):
            return "every pool" if EVERY_POOL.search(text) else "some pool"
        return "launches" if LAUNCHES.search(text) else "no pool"
