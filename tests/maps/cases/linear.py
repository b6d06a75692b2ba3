"""Affine and bilinear maps."""

from distbp.maps import linear
from tests.maps.case import Case

CASES = [
    *(Case("aten.linear.default", linear.Linear, (dims + "I", "OI", b)) for dims in ("N", "NT", "NTC") for b in "O-"),
    *(Case("aten.linear.default", linear.LinearVector, ("I", "OI", b)) for b in "O-"),
    *(Case("aten.bilinear.default", linear.Bilinear, (d + "I", d + "C", "OIC", b)) for d in ("N", "NT") for b in "O-"),
]
