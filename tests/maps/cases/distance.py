"""Distances and angles between vectors, and their losses."""

from typing import Any

from distbp.maps import distance
from tests.maps.case import Case
from tests.maps.cases.margin import signs

NORMS = (1.0, 2.0, 3.0)
LONG = {"T": 3, "I": 5}
"""A vector of one number has an angle whose derivative is zero, and nothing to compare."""
FEW, MANY = {"N": 4}, {"N": 27}


def _table(op: str, rule: Any, inputs: tuple[Any, ...], **attributes: Any) -> list[Case]:
    return [Case(f"aten.{op}.default", rule, inputs, {**attributes, "reduction": r}) for r in (0, 1, 2)]


_CASES = [
    *(Case("aten.pairwise_distance.default", distance.PairwiseDistance, ("NI", "NI"), {"p": p}) for p in NORMS),
    Case("aten.pairwise_distance.default", distance.PairwiseDistance, ("NTI", "TI"), {"keepdim": True, "eps": 0.1}),
    *(
        row
        for p in NORMS[1:]
        for swap in (False, True)
        for row in _table("triplet_margin_loss", distance.TripletMargin, ("NI", "NI", "NI"), p=p, swap=swap, margin=0.8)
    ),
    *_table("triplet_margin_loss", distance.TripletMargin, ("NI", "1I", "NI")),
    *(
        Case("aten.cosine_similarity.default", distance.CosineSimilarity, pair, {"dim": dim})
        for pair in (("NTI", "NTI"), ("NTI", "1TI"))
        for dim in (1, -1)
    ),
    Case("aten.cosine_similarity.default", distance.CosineSimilarity, ("1TI", "NT1")),
    Case("aten.cosine_similarity.default", distance.CosineSimilarity, ("NI", "NI"), {"eps": 1.5}),
    *(
        row
        for m in (0.0, 0.2)
        for row in _table("cosine_embedding_loss", distance.CosineEmbedding, ("NI", "NI", signs("N")), margin=m)
    ),
    *_table("cosine_embedding_loss", distance.CosineEmbedding, ("I", "I", signs(""))),
    *(Case("aten.cdist.default", distance.Distances, ("CNI", "CTI"), {"p": p}, s) for p in NORMS for s in (FEW, MANY)),
    *(Case("aten.cdist.default", distance.Distances, pair) for pair in (("NI", "TI"), ("CNI", "1TI"), ("OCNI", "CTI"))),
    *(Case("aten.cdist.default", distance.Distances, ("NI", "TI"), {"compute_mode": m}, MANY) for m in (1, 2)),
    *(Case("aten.pdist.default", distance.OwnDistances, ("NI",), {"p": p}, FEW) for p in NORMS),
]

CASES = [case._replace(sizes={**LONG, **case.sizes}) for case in _CASES]
