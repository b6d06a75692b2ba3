"""How the files of the suite are dealt out to processes that run it side by side: ``pytest -n 2 --dist loadfile``."""

import re
from functools import cache

from xdist.scheduler import LoadFileScheduling

RANKS = re.compile(r"^def .*\bpool\b|^from tests\.(launch|kill)\b|\b(mpirun|torchrun)\b.*-n", flags=re.MULTILINE)


class OneJobAtATime(LoadFileScheduling):
    """A file belongs to one process, and all files whose tests start several ranks belong to the same.

    Ranks wait for one another, and their tests say how soon something has to happen: two such jobs at a time would be
    more than a small machine has cores for. The resident ranks of ``tests/pool`` are started in one process alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "ranks" if self._starts_ranks(file) else file

    @cache  # noqa: B019 - there is one dealer, as long as the process
    def _starts_ranks(self, file: str) -> bool:
        return RANKS.search((self.config.rootpath / file).read_text()) is not None
