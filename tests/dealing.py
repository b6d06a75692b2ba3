"""How the files of the suite are dealt out to processes that run it side by side: ``pytest -n 2 --dist loadfile``."""

import re
from functools import cache

from xdist.scheduler import LoadFileScheduling

LAUNCHES = re.compile(r"^from tests\.(launch|kill)\b|\b(mpirun|torchrun)\b.*-n", flags=re.MULTILINE)
POOL = re.compile(r"^def .*\bpool\b", flags=re.MULTILINE)


class OneJobAtATime(LoadFileScheduling):
    """A file belongs to one process, and all files that launch jobs of several ranks belong to the same.

    Ranks wait for one another, and their tests say how soon something has to happen: several such jobs at a time would
    be more than a small machine has cores for. For the same reason the files that use the resident ranks of
    ``tests/pool`` belong to that process, too, and come when the launches are over; these come first.
    """

    def _assign_work_unit(self, node: object) -> None:
        if "launches" in self.workqueue:
            self.workqueue.move_to_end("launches", last=False)
        elif "pool" in self.workqueue:
            self.workqueue.move_to_end("pool", last="launches" not in self.assigned_work[node])
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return self._kind(file) or file

    @cache  # noqa: B019 - there is one dealer, as long as the process
    def _kind(self, file: str) -> str:
        text = (self.config.rootpath / file).read_text()
        return "pool" if POOL.search(text) else "launches" if LAUNCHES.search(text) else ""
