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


def clicks(folder: Path, rows: int = 60) -> Path:
    """Sixty clicks in Criteo's format, with numbers below zero and empty fields."""
    random = np.random.default_rng(0)
    lines = []
    for row in range(rows):
        numbers = ["" if random.random() < 0.2 else str(random.integers(-2, 5000)) for _ in range(13)]
        categories = ["" if random.random() < 0.1 else f"{random.integers(2**32):08x}" for _ in range(26)]
        lines.append("\t".join([str(row % 2), *numbers, *categories]))
    path = folder / "clicks.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


SMALL: dict[str, Small] = {
    "recommendation/neumf": Small(ratings, ["workload.factors=4", "workload.layers=[8,4]", "workload.others=12"]),
    "recommendation/dlrm": Small(clicks, ["workload.bottom=[8,4]", "workload.top=[8]", "workload.buckets=50"]),
    "recommendation/matrix_factorization": Small(
        ratings, ["workload.factors=4", "optimizer.lr=0.1"]
    ),  # of 22 ratings, not 2,000
}
