"""Random numbers as a mapping of nothing: what a model adds to its activations, or chooses by.

They are drawn by torch's own recipes on a CPU, so that equal seeds give the numbers of torch.rand and its kin. Nothing
flows back through a draw.
"""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

Attributes = dict[str, Any]


def _room(size: Sequence[int], given: Attributes) -> Tensor:
    return torch.empty(size, dtype=given.get("dtype"), device=given.get("device"))


def _room_like(x: Tensor, given: Attributes) -> Tensor:
    """As large as x, and of its dtype if no other is asked for."""
    return torch.empty_like(x, dtype=given.get("dtype"), device=given.get("device"))


@register_map("aten.rand.default")
class Uniform(Map):
    """y = u, u ~ U(0, 1)   -> size.
    dx is of no x
    """

    random = True

    @staticmethod
    def forward(size: Sequence[int], generator: Generator, **given: Any) -> tuple[Tensor, None]:
        return _room(size, given).uniform_(generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return ()


@register_map("aten.rand_like.default")
class UniformLike(Map):
    """y = u, u ~ U(0, 1), of the shape of x.
    dx = 0
    """

    random = True

    @staticmethod
    def forward(x: Tensor, generator: Generator, **given: Any) -> tuple[Tensor, None]:
        return _room_like(x, given).uniform_(generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.randn.default")
class Normal(Map):
    """y = n, n ~ N(0, 1)   -> size.
    dx is of no x
    """

    random = True

    @staticmethod
    def forward(size: Sequence[int], generator: Generator, **given: Any) -> tuple[Tensor, None]:
        return _room(size, given).normal_(generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return ()


@register_map("aten.randn_like.default")
class NormalLike(Map):
    """y = n, n ~ N(0, 1), of the shape of x.
    dx = 0
    """

    random = True

    @staticmethod
    def forward(x: Tensor, generator: Generator, **given: Any) -> tuple[Tensor, None]:
        return _room_like(x, given).normal_(generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.bernoulli.default")
class Bernoulli(Map):
    """y = 1 with probability x, else 0.
    dx = 0
    """

    random = True

    @staticmethod
    def forward(x: Tensor, generator: Generator) -> tuple[Tensor, None]:
        return torch.empty_like(x).bernoulli_(x, generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.bernoulli.p")
class BernoulliOf(Map):
    """y = 1 with probability p, else 0, of the shape of x: what x.bernoulli_(p) leaves in it.
    dx = 0
    """

    random = True

    @staticmethod
    def forward(x: Tensor, p: float, generator: Generator) -> tuple[Tensor, None]:
        return torch.empty_like(x).bernoulli_(p, generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.uniform.default")
class UniformBetween(Map):
    """y = u, u ~ U(from, to), of the shape of x: what x.uniform_() leaves in it.
    dx = 0
    """

    random = True

    @staticmethod
    def forward(x: Tensor, generator: Generator, **given: Any) -> tuple[Tensor, None]:
        return torch.empty_like(x).uniform_(given.get("from", 0), given.get("to", 1), generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.normal_functional.default")
class NormalOf(Map):
    """y = n, n ~ N(mean, std^2), of the shape of x: what x.normal_(mean, std) leaves in it.
    dx = 0
    """

    random = True

    @staticmethod
    def forward(x: Tensor, generator: Generator, mean: float = 0.0, std: float = 1.0) -> tuple[Tensor, None]:
        return torch.empty_like(x).normal_(mean, std, generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.exponential.default")
class Exponential(Map):
    """y = -log(u) / rate, u ~ U(0, 1), of the shape of x: what x.exponential_(rate) leaves in it.
    dx = 0
    """

    random = True

    @staticmethod
    def forward(x: Tensor, generator: Generator, lambd: float = 1.0) -> tuple[Tensor, None]:
        return torch.empty_like(x).exponential_(lambd, generator=generator), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)
