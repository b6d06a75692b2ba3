"""Dropout of every kind."""

from distbp.maps import dropout
from tests.maps.case import Case

KINDS = {
    "dropout": (dropout.Dropout, ("NI", "NTI", "I")),
    "feature_dropout": (dropout.FeatureDropout, ("NC", "NCT", "NCTI")),
    "alpha_dropout": (dropout.AlphaDropout, ("NI", "NTI", "I")),
    "feature_alpha_dropout": (dropout.FeatureAlphaDropout, ("NC", "NCT", "NCTI")),
}

CASES = [
    Case(f"aten.{op}.default", rule, (shape,), {"p": p, "train": True})
    for op, (rule, shapes) in KINDS.items()
    for shape in shapes
    for p in (0.4, 0.9)
] + [
    Case(f"aten.{op}.default", rule, ("NTI",), {"p": p, "train": train})
    for op in KINDS
    for rule, p, train in (
        (dropout.DropNothing, 0.4, False),
        (dropout.DropNothing, 0.0, True),
        (dropout.DropAll, 1.0, True),
        (dropout.DropNothing, 1.0, False),
    )
]
