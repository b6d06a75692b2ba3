"""Products of tensors of any rank."""

from distbp.maps import einsum
from tests.maps.case import Case

EQUATIONS = {
    "ni,oi->no": ("NI", "OI"),
    "ni,io": ("NI", "IO"),
    "nti,nci->nct": ("NTI", "NCI"),
    "b...i, ji -> b...j": ("NTCI", "OI"),
    "...i,...i->...": ("NTI", "TI"),
    "...i,oi": ("NTI", "OI"),
    "ij->ji": ("NI",),
    "ij->": ("NI",),
    "ij->j": ("NI",),
    "nt,ti,io->no": ("NT", "TI", "IO"),
    "ni,oij,nj->no": ("NI", "OIC", "NC"),
    "ni,no->no": ("NI", "NO"),
    "ni,ni->n": ("NI", "1I"),
    "n,i->ni": ("N", "I"),
    "i,i": ("I", "I"),
}

DOTS: tuple[tuple[tuple[str, str], list[int], list[int]], ...] = (
    (("NTI", "IO"), [2], [0]),
    (("NTI", "ITO"), [2, 1], [0, 1]),
    (("NTI", "NTI"), [0, -1], [0, 2]),
    (("TNI", "OTC"), [0], [1]),
    (("NI", "OT"), [], []),
)

CASES = [
    *(Case("aten.einsum.default", einsum.Einsum, (x,), {"equation": e}) for e, x in EQUATIONS.items()),
    Case(
        "aten.einsum.default", einsum.Einsum, (("NT", "TI", "IO"),), {"equation": "nt,ti,io->no", "path": [1, 2, 0, 1]}
    ),
    *(Case("aten.tensordot.default", einsum.TensorDot, pair, {"dims_self": a, "dims_other": b}) for pair, a, b in DOTS),
    *(Case("aten.kron.default", einsum.Kronecker, p) for p in (("NI", "TO"), ("N", "IO"), ("NTI", "CO"), ("()", "NI"))),
    *(
        Case(f"aten.{op}.default", einsum.ChainProduct, (x,))
        for op in ("linalg_multi_dot", "chain_matmul")
        for x in (("NT", "TI"), ("NT", "TI", "IO"), ("NT", "TI", "IO", "OC"))
    ),
    *(
        Case("aten.linalg_multi_dot.default", einsum.ChainProduct, (x,))
        for x in (("T", "TI", "IO"), ("NT", "TI", "I"), ("T", "TI", "I"), ("T", "T"))
    ),
]
