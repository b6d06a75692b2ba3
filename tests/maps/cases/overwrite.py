"""What overwrites all of a tensor, and nothing of it is left."""

from distbp.maps import overwrite
from tests.maps.case import Case

CASES = [
    Case("aten.copy.default", overwrite.Copy, ("NI", "NI")),
    Case("aten.copy.default", overwrite.Copy, ("NI", "1I")),
    Case("aten.copy.default", overwrite.Copy, ("NI", "()")),
    Case("aten.fill.Tensor", overwrite.Fill, ("NI", "()")),
    Case("aten.fill.Scalar", overwrite.FillWith, ("NI",), {"value": 2.5}),
]
