"""A resident pool of ranks: many-rank tests without a launch for each.

``pool.run(kind, size, function, *args)`` calls the module-level ``function(communicator, *args)`` on every rank and
returns the ranks' results. ``GROUPS`` lists the pools for ``@pytest.mark.parametrize(("kind", "size"), GROUPS)``.
"""

from tests.pool.pool import GROUPS, Pool, RankError

__all__ = ["GROUPS", "Pool", "RankError"]
