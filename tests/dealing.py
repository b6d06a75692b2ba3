"""How the files of the suite are dealt out to processes that run it side by side: ``pytest -n 2 --dist loadfile``."""

import re
from functools import cache

from xdist.scheduler import LoadFileScheduling

LAUNCHES = re.compile(r"^from tests\.(launch|kill)\b|\b(mpirun|torchrun)\b.*-n", flags=re.MULTILINE)
POOL = re.compile(r"^def .*\bpool\b", flags=re.MULTILINE)


class OneJobAtATime(LoadFileScheduling):
    """A file belongs to one process, and all files that launch jobs of several ranks belong to the same.

    Ranks wait for one another, and their tests say how soon something has to happen: several such jobs at a time would
    be more than a small machine has cores for. For the same reason the resident ranks of ``tests/pool`` are started
    once: all files that use them belong to one process, too. Launches come first, and that pool when they are over.
    """

    def _assign_work_unit(self, node: object) -> None:
        if "launches" in self.workqueue:
            self.workqueue.move_to_end("launches", last=False)
        if "pool" in self.workqueue:
            self.workqueue.move_to_end("pool", last=self._launching())
        super()._assign_work_unit(node)

    def _launching(self) -> bool:
        """Whether a launch is still to come, or to be examined."""
        dealt = (done for units in self.assigned_work.values() for done in units.get("launches", {}).values())
        return "launches" in self.workqueue or not all(dealt)

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return self._kind(file) or file

    @cache  # noqa: B019 - there is one dealer, as long as the process
    def _kind(self, file: str) -> str:
        text = (self.config.rootpath / file).read_text()
        return "pool" if POOL.search(text) else "launches" if LAUNCHES.search(text) else ""
