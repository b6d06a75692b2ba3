"""Products of vectors and matrices."""

from distbp.maps import product
from tests.maps.case import Case

VECTOR = {"A": 3}
BROADCAST = (("TI", "NIO"), ("I", "NIO"), ("CNTI", "NIO"), ("C1TI", "NIO"), ("CNTI", "CNIO"))

CASES = [
    *(Case("aten.matmul.default", product.BroadcastProduct, pair) for pair in BROADCAST),
    Case("aten.linalg_matmul.default", product.BroadcastProduct, ("NTI", "NIO")),
    *(Case("aten.matmul.default", product.RowProduct, (a, b)) for a in ("NI", "NTI", "CNTI") for b in ("IO",)),
    *(Case("aten.matmul.default", product.RowProduct, pair) for pair in (("I", "IO"), ("NTI", "I"))),
    Case("aten.linalg_matmul.default", product.RowProduct, ("NI", "IO")),
    Case("aten.mm.default", product.RowProduct, ("NI", "IO")),
    Case("aten.matmul.default", product.MatrixVector, ("NI", "I")),
    Case("aten.mv.default", product.MatrixVector, ("NI", "I")),
    *(Case(f"aten.{op}.default", product.Dot, ("I", "I")) for op in ("dot", "vdot", "matmul")),
    *(Case("aten.linalg_vecdot.default", product.DotAlong, pair) for pair in (("NTI", "NTI"), ("TI", "N1I"))),
    Case("aten.linalg_vecdot.default", product.DotAlong, ("NTI", "NTI"), {"dim": 1}),
    *(Case(f"aten.{op}.default", product.Outer, ("N", "O")) for op in ("outer", "ger")),
    *(Case("aten.inner.default", product.Inner, pair) for pair in (("I", "I"), ("NI", "I"), ("NTI", "CI"))),
    *(Case(f"aten.{op}.default", product.BatchProduct, ("NTI", "NIO")) for op in ("bmm", "matmul")),
    *(Case("aten.matmul.default", product.BroadcastProduct, p, {}, {"N": 4}) for p in (("1TI", "NIO"), ("NTI", "1IO"))),
    *(Case("aten.linalg_cross.default", product.Cross, p, {}, VECTOR) for p in (("NA", "NA"), ("1A", "NA"))),
    Case("aten.linalg_cross.default", product.Cross, ("NAT", "NAT"), {"dim": 1}, VECTOR),
    Case("aten.cross.default", product.FirstCross, ("NAT", "NAT"), {}, VECTOR | {"N": 2}),
    Case("aten.cross.default", product.Cross, ("NAT", "NAT"), {"dim": -2}, VECTOR),
]
