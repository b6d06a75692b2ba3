"""Texts of few words."""

from pathlib import Path

import numpy as np

from tests.workloads.small import Small

WORDS = ["in", "the", "beginning", "was", "word", "and", "light", "of", "men", "shineth", "darkness", "it", "not"]


def text(folder: Path) -> Path:
    """Three hundred lines of five words drawn at random."""
    path = folder / "text.txt"
    drawn = np.random.default_rng(0).integers(0, len(WORDS), (300, 5))
    path.write_text("\n".join(" ".join(WORDS[i] for i in line) for line in drawn), encoding="utf-8")
    return path


def labelled(folder: Path) -> Path:
    """Sixty texts of one to nine words, of two classes, of which one has more words of the first half."""
    path = folder / "texts.csv"
    random = np.random.default_rng(0)
    rows = ["label,text"]
    for row in range(60):
        drawn = random.integers(0, len(WORDS) - 4 * (row % 2), random.integers(1, 10))
        rows.append(f"{'no' if row % 2 else 'yes'},{' '.join(WORDS[i] for i in drawn)}")
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


SMALL = {
    "nlp/classifier": Small(labelled, ["workload.width=8", "workload.hidden=4", "workload.longest=8"]),
    "nlp/transformer_lm": Small(
        text, ["workload.layers=2", "workload.width=16", "workload.context=8", "workload.dropout=0.1"]
    ),
    "nlp/lstm_lm": Small(
        text,
        [
            "workload.width=8",
            "workload.length=5",
            "workload.dropout=0.1",
            "workload.streams=30",
            "workload.tied=true",
            "workload.sample=5",
        ],
    ),
}
