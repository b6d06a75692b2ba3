"""Mathematics: one mapping is a forward pass and its vector-Jacobian product, side by side."""

from distbp.maps import dropout, linear, loss, pointwise, reduce, shape
from distbp.maps.base import Map
from distbp.maps.registry import register_map

__all__ = ["Map", "dropout", "linear", "loss", "pointwise", "reduce", "register_map", "shape"]
