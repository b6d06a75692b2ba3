"""Reviews of women's clothing: what customers of a shop wrote, and whether they recommend what they bought."""

from pathlib import Path

import numpy as np

from distbp.data.labelled import LabelledTexts
from distbp.data.parquet import read_parquet

TEXT, LABEL = "Review Text", "Recommended IND"
CLASSES = ("no", "yes")


def read_clothing(path: str | Path) -> LabelledTexts:
    """The reviews of the verified file at ``path`` that have a text. RequestError where pyarrow is missing."""
    table = read_parquet(path, "the table of reviews")
    rows = zip(table[TEXT].to_pylist(), table[LABEL].to_pylist(), strict=True)
    texts, labels = zip(*((text, label) for text, label in rows if text and text.strip()), strict=True)
    return LabelledTexts(texts, np.array(labels, np.int64), CLASSES)
