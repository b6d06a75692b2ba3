"""Draws of nothing, and of a tensor's shape."""

from distbp.maps import noise
from tests.maps.case import Case

CASES = [
    Case("aten.rand.default", noise.Uniform, (), {"size": [3, 5]}),
    Case("aten.randn.default", noise.Normal, (), {"size": [64]}),
    Case("aten.rand_like.default", noise.UniformLike, ("NTI",)),
    Case("aten.randn_like.default", noise.NormalLike, ("NTI",)),
    Case("aten.uniform.default", noise.UniformBetween, ("NI",), {"from": -2.0, "to": 3.0}),
    Case("aten.bernoulli.default", noise.Bernoulli, ("p:NC",)),
    Case("aten.bernoulli.p", noise.BernoulliOf, ("NC",), {"p": 0.3}),
    Case("aten.normal_functional.default", noise.NormalOf, ("NI",), {"mean": 2.0, "std": 0.5}),
    Case("aten.exponential.default", noise.Exponential, ("NI",), {"lambd": 0.5}),
]
