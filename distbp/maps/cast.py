"""Maps that change how numbers are held: their dtype, their place in memory, or nothing at all."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


@register_map("aten.alias.default")
class Alias(Map):
    """y = x.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return torch.ops.aten.alias(x), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.lift_fresh_copy.default")
class Lift(Map):
    """y = x.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return x.clone(), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.contiguous.default")
class Same(Map):
    """y = x, copied if it does not lie in order.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> tuple[Tensor, None]:
        return x.contiguous(memory_format=memory_format), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.clone.default")
class Copy(Map):
    """y = x, copied.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, memory_format: torch.memory_format | None = None) -> tuple[Tensor, None]:
        return torch.clone(x, memory_format=memory_format), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.to.dtype")
class Cast(Map):
    """y = x in another dtype, or on another device.
    dx = dy in the dtype and on the device of x
    """

    @staticmethod
    def forward(x: Tensor, dtype: torch.dtype, **how: Any) -> tuple[Tensor, Any]:
        return x.to(dtype, **how), (x.dtype, x.device)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        dtype, device = saved
        return (d_y.to(dtype=dtype, device=device),)


@register_map("aten.to.device")
class Move(Map):
    """y = x in another dtype, or on another device.
    dx = dy in the dtype and on the device of x
    """

    @staticmethod
    def forward(x: Tensor, device: torch.device, dtype: torch.dtype, **how: Any) -> tuple[Tensor, Any]:
        return x.to(device, dtype, **how), (x.dtype, x.device)

    vjp = Cast.vjp


@register_map("aten.to.dtype_layout")
class Convert(Map):
    """y = x in another dtype, or on another device.
    dx = dy in the dtype and on the device of x
    """

    @staticmethod
    def forward(x: Tensor, **how: Any) -> tuple[Tensor, Any]:
        return torch.ops.aten.to.dtype_layout(x, **how), (x.dtype, x.device)

    vjp = Cast.vjp


@register_map("aten._to_copy.default")
class ConvertCopy(Map):
    """y = x in another dtype, or on another device.
    dx = dy in the dtype and on the device of x
    """

    @staticmethod
    def forward(x: Tensor, **how: Any) -> tuple[Tensor, Any]:
        return torch.ops.aten._to_copy(x, **how), (x.dtype, x.device)

    vjp = Cast.vjp


@register_map("aten.type_as.default")
class TypeAs(Map):
    """y = x in the dtype and on the device of z.
    dx = dy in the dtype and on the device of x
    """

    @staticmethod
    def forward(x: Tensor, other: Tensor) -> tuple[Tensor, Any]:
        return x.type_as(other), (x.dtype, x.device)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        dtype, device = saved
        return (d_y.to(dtype=dtype, device=device), None)


@register_map("aten.to.other")
class ToOther(Map):
    """y = x in the dtype and on the device of z.
    dx = dy in the dtype and on the device of x
    """

    @staticmethod
    def forward(x: Tensor, other: Tensor, **how: Any) -> tuple[Tensor, Any]:
        return x.to(other, **how), (x.dtype, x.device)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        dtype, device = saved
        return (d_y.to(dtype=dtype, device=device), None)
