"""Where the gradient of one input goes: nowhere, into a new tensor, over a given one, or onto it.

A VJP has one of these for each of its inputs and hands it the last operation of each gradient, so that a weight's
gradient is formed where it will travel, and a gradient that nobody wants is not formed at all.
"""

# ruff: noqa: D102, ARG002 - the verbs are described where they are declared

from abc import ABC, abstractmethod

from torch import Size, Tensor, addmm, matmul, mm, sum


class Into(ABC):
    """One gradient's destination. Every verb forms a value and returns the gradient with that value in it.

    ``wanted`` is for a VJP whose gradients share costly work; the verbs need no question.
    """

    wanted = True

    @abstractmethod
    def put(self, value: Tensor) -> Tensor | None:
        """Deliver ``value``."""

    def mm(self, a: Tensor, b: Tensor) -> Tensor | None:
        """``a b``   (N,K) (K,M) -> (N,M)."""
        return self.put(mm(a, b))

    def matmul(self, a: Tensor, b: Tensor) -> Tensor | None:
        """``a b`` for any number of leading dimensions of a   (...,K) (K,M) -> (...,M)."""
        return self.put(matmul(a, b))

    def sum(self, x: Tensor, dims: tuple[int, ...]) -> Tensor | None:
        """``x`` summed over ``dims``, which vanish."""
        return self.put(sum(x, dims))

    def product(self, a: Tensor, b: Tensor, shape: Size) -> Tensor | None:
        """``a * b``, summed over the dimensions along which ``shape`` was broadcast."""
        return self.fold(a * b, shape)

    def scale(self, x: Tensor, factor: float, shape: Size) -> Tensor | None:
        """``factor x``, summed over the dimensions along which ``shape`` was broadcast."""
        return self.fold(x if factor == 1 else x * factor, shape)

    def fold(self, x: Tensor, shape: Size) -> Tensor | None:
        """``x``, summed over the dimensions along which ``shape`` was broadcast: the transpose of broadcasting."""
        return self.put(x if x.shape == shape else x.sum_to_size(shape))


class Skip(Into):
    """Nobody wants this gradient: nothing is computed."""

    __slots__ = ()
    wanted = False

    def put(self, value: Tensor) -> None:
        return None

    def mm(self, a: Tensor, b: Tensor) -> None:
        return None

    def matmul(self, a: Tensor, b: Tensor) -> None:
        return None

    def sum(self, x: Tensor, dims: tuple[int, ...]) -> None:
        return None

    def product(self, a: Tensor, b: Tensor, shape: Size) -> None:
        return None

    def scale(self, x: Tensor, factor: float, shape: Size) -> None:
        return None

    def fold(self, x: Tensor, shape: Size) -> None:
        return None


class Fresh(Into):
    """A tensor of its own."""

    __slots__ = ()

    def put(self, value: Tensor) -> Tensor:
        return value


class Write(Into):
    """The given tensor, whatever was in it."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def put(self, value: Tensor) -> Tensor:
        return self.tensor.copy_(value)

    def mm(self, a: Tensor, b: Tensor) -> Tensor:
        return mm(a, b, out=self.tensor)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return matmul(a, b, out=self.tensor)

    def sum(self, x: Tensor, dims: tuple[int, ...]) -> Tensor:
        return sum(x, dims, out=self.tensor)

    def zero(self) -> None:
        """The gradient of a parameter that the loss does not depend on."""
        self.tensor.zero_()


class Add(Into):
    """The given tensor, on top of what is in it."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def put(self, value: Tensor) -> Tensor:
        return self.tensor.add_(value)

    def mm(self, a: Tensor, b: Tensor) -> Tensor:
        return self.tensor.addmm_(a, b)

    def zero(self) -> None:
        """Nothing to add."""


class Plus(Into):
    """A tensor of its own: the given one, which others may still read, plus the value."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def put(self, value: Tensor) -> Tensor:
        return self.tensor + value

    def mm(self, a: Tensor, b: Tensor) -> Tensor:
        return addmm(self.tensor, a, b)


SKIP = Skip()
FRESH = Fresh()
