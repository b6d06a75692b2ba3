"""Small recommendation jobs: a handful of users and items."""

from pathlib import Path

import numpy as np

from tests.workloads.small import Small

USERS, ITEMS = 12, 40


def ratings(folder: Path) -> Path:
    """Twelve users who have each rated 8 of 40 items, at increasing times, in RecBole's layout."""
    random = np.random.default_rng(0)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(USERS):
        for time, item in enumerate(random.permutation(ITEMS)[:8]):
            lines.append(f"u{user}\ti{item}\t{random.integers(1, 6)}\t{time}")
    path = folder / "small.inter"
    path.write_text("\n".join(lines) + "\n")
    return path


SMALL: dict[str, Small] = {
    "recommendation/neumf": Small(ratings, ["workload.factors=4", "workload.layers=[8,4]", "workload.others=12"]),
    "recommendation/matrix_factorization": Small(ratings, ["workload.factors=4"]),
}
