"""Calls of the maps that arrange, repeat, cast, join and part."""

from collections.abc import Iterator

import torch

from distbp.maps import cast, join, order, repeat, shape
from tests.maps.case import Case


def _shapes() -> Iterator[Case]:
    for op, rule, name in (("view", shape.View, "size"), ("reshape", shape.Reshape, "shape")):
        yield Case(f"aten.{op}.default", rule, ("NTI",), {name: lambda s: [s["N"], s["T"] * s["I"]]})
        yield Case(f"aten.{op}.default", rule, ("NTI",), {name: lambda _: [-1]})
    for start, end in ((0, -1), (1, -1), (0, 1)):
        yield Case("aten.flatten.using_ints", shape.Flatten, ("NTI",), {"start_dim": start, "end_dim": end})
    yield Case("aten.unflatten.int", shape.Unflatten, ("NI",), {"dim": 1, "sizes": [2, -1]}, {"I": 6})
    yield Case("aten.ravel.default", shape.Ravel, ("NI",))
    for x in ("NTI", "1N1"):
        yield Case("aten.squeeze.default", shape.Squeeze, (x,))
        yield Case("aten.squeeze.dim", shape.SqueezeOne, (x,), {"dim": -1})
        yield Case("aten.squeeze.dims", shape.SqueezeSome, (x,), {"dim": [0, 2]})
    for dim in (0, -1):
        yield Case("aten.unsqueeze.default", shape.Unsqueeze, ("NI",), {"dim": dim})
    yield Case("aten.view_as.default", shape.ViewAs, ("NTI", "TIN"))
    yield Case("aten.reshape_as.default", shape.ReshapeAs, ("NTI", "TIN"))


def _orders() -> Iterator[Case]:
    for op, rule, name in (
        ("transpose.int", order.Transpose, "dim"),
        ("swapdims.default", order.Transpose, "dim"),
        ("swapaxes.default", order.SwapAxes, "axis"),
    ):
        yield Case(f"aten.{op}", rule, ("NTI",), {f"{name}0": 0, f"{name}1": -1})
    for x in ("NI", "I"):
        yield Case("aten.t.default", order.MatrixTranspose, (x,))
    yield Case("aten.mT.default", order.LastTranspose, ("NTI",))
    yield Case("aten.numpy_T.default", order.Reverse, ("NI",))
    yield Case("aten.permute.default", order.Permute, ("NTI",), {"dims": [2, 0, -2]})
    for name in ("movedim", "moveaxis"):
        yield Case(f"aten.{name}.int", order.MoveDim, ("NTI",), {"source": 0, "destination": -1})
        yield Case(f"aten.{name}.intlist", order.MoveDims, ("NTI",), {"source": [0, 1], "destination": [2, 0]})
    yield Case("aten.flip.default", order.Flip, ("NTI",), {"dims": [0, 2]})
    yield Case("aten.roll.default", order.Roll, ("NTI",), {"shifts": [1, -2], "dims": [0, 2]})
    yield Case("aten.roll.default", order.Roll, ("NTI",), {"shifts": [2]})
    yield Case("aten.pixel_shuffle.default", order.PixelShuffle, ("NCTI",), {"upscale_factor": 2}, {"C": 8})
    yield Case(
        "aten.pixel_unshuffle.default", order.PixelUnshuffle, ("NCTI",), {"downscale_factor": 2}, {"T": 4, "I": 6}
    )
    yield Case("aten.channel_shuffle.default", order.ChannelShuffle, ("NCT",), {"groups": 2}, {"C": 6})


def _repeats() -> Iterator[Case]:
    for x in ("1I", "()", "NTI"):
        yield Case("aten.expand.default", repeat.Expand, (x,), {"size": lambda s: [s["N"], s["T"], s["I"]]})
    yield Case("aten.broadcast_to.default", repeat.Expand, ("1I",), {"size": lambda s: [s["N"], s["T"], s["I"]]})
    yield Case("aten.expand_as.default", repeat.ExpandAs, ("1I", "NTI"))
    for repeats in ([2, 3], [2, 1, 1], [1, 1]):
        yield Case("aten.repeat.default", repeat.Repeat, ("NI",), {"repeats": repeats})
    for dims in ([2], [3, 2], [2, 1, 3]):
        yield Case("aten.tile.default", repeat.Tile, ("NI",), {"dims": dims})
    for dim in (None, 0, -1):
        told = {"repeats": 3} if dim is None else {"repeats": 2, "dim": dim}
        yield Case("aten.repeat_interleave.self_int", repeat.RepeatInterleave, ("NI",), told)


def _casts() -> Iterator[Case]:
    yield Case("aten.alias.default", cast.Alias, ("NI",))
    yield Case("aten.lift_fresh_copy.default", cast.Lift, ("NI",))
    yield Case("aten.contiguous.default", cast.Same, ("NI",))
    yield Case("aten.clone.default", cast.Copy, ("NI",))
    yield Case("aten.clone.default", cast.Copy, ("NI",), {"memory_format": torch.contiguous_format})
    yield Case("aten.to.dtype", cast.Cast, ("NI",), {"dtype": torch.float64})
    yield Case("aten.to.device", cast.Move, ("NI",), {"device": torch.device("cpu"), "dtype": torch.float64})
    yield Case("aten.to.dtype_layout", cast.Convert, ("NI",), {"dtype": torch.float64, "layout": torch.strided})
    yield Case("aten._to_copy.default", cast.ConvertCopy, ("NI",), {"dtype": torch.float64})
    yield Case("aten.type_as.default", cast.TypeAs, ("NI", "I"))
    yield Case("aten.to.other", cast.ToOther, ("NI", "I"))


def _joins() -> Iterator[Case]:
    for dim in (0, 1, -1):
        yield Case("aten.cat.default", join.Concatenate, (("NTI", "NTI", "NTI"),), {"dim": dim})
        yield Case("aten.stack.default", join.Stack, (("NT", "NT"),), {"dim": dim})
    yield Case("aten.cat.default", join.Concatenate, (("NI", "TI"),))
    yield Case("aten.concat.default", join.Concatenate, (("NI",),))
    for two in (("N", "I"), ("NI", "NT"), ("()", "I"), ("NIT", "NCT")):
        yield Case("aten.hstack.default", join.HorizontalStack, (two,))
    for two in (("I", "NI"), ("NIT", "CIT"), ("()", "()")):
        yield Case("aten.vstack.default", join.VerticalStack, (two,))
    for two in (("N", "NI"), ("NIT", "NCT"), ("()", "()")):
        yield Case("aten.column_stack.default", join.ColumnStack, (two,))


def _parts() -> Iterator[Case]:
    for dim in (0, -1):
        yield Case("aten.split.Tensor", join.Split, ("NI",), {"split_size": 2, "dim": dim})
        yield Case("aten.chunk.default", join.Chunk, ("NI",), {"chunks": 3, "dim": dim})
        yield Case("aten.tensor_split.sections", join.TensorSplit, ("NI",), {"sections": 3, "dim": dim})
        yield Case("aten.unbind.int", join.Unbind, ("NI",), {"dim": dim})
    sizes = [1, 0, 3]
    told = {"split_sizes": sizes, "dim": 1}
    yield Case("aten.split_with_sizes.default", join.SplitWithSizes, ("NI",), told, {"I": 4})
    yield Case("aten.split.sizes", join.SplitSizes, ("IN",), {"split_size": sizes}, {"I": 4})


CASES = [*_shapes(), *_orders(), *_repeats(), *_casts(), *_joins(), *_parts()]
