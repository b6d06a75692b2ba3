"""Products added to a matrix."""

from distbp.maps import added
from tests.maps.case import Case

SCALES: tuple[dict[str, float], ...] = ({}, {"beta": 0.5, "alpha": 3}, {"beta": 2})

CASES = [
    *(
        Case("aten.addmm.default", added.AddedProduct, (c, "NI", "IO"), s)
        for c in ("NO", "O", "N1", "()")
        for s in SCALES
    ),
    *(Case("aten.addmv.default", added.AddedVector, (c, "NI", "I"), s) for c in ("N", "()") for s in SCALES),
    *(Case("aten.addr.default", added.AddedOuter, (c, "N", "O"), s) for c in ("NO", "O") for s in SCALES),
    *(Case("aten.baddbmm.default", added.AddedBatch, (c, "TNI", "TIO"), s) for c in ("TNO", "O") for s in SCALES),
    *(Case("aten.addbmm.default", added.AddedSum, (c, "TNI", "TIO"), s) for c in ("NO", "1O") for s in SCALES),
]
