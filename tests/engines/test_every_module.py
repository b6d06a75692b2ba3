"""Every module of torch.nn that torch.export can lower has a program, with autograd's gradients in float64."""

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination
from distbp.engines.manual import ManualEngine

REFUSED = {
    "CTCLoss": "torch.export",  # has no rule for it
    "GaussianNLLLoss": "torch.export",  # looks at the numbers of its argument
    "CrossMapLRN2d": "torch.autograd.Function",
}
OTHERWISE = {  # what is no layer, deprecated for another that is tried, or waits for its first input
    "Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Container", "Buffer",
    "Transformer", "NLLLoss2d", "DataParallel", "SyncBatchNorm", "RNNBase", "RNNCellBase",
}  # fmt: skip
ELEMENTWISE = [
    "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
    "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign",
    "Tanh", "Tanhshrink", "Identity", "Flatten", "Dropout", "AlphaDropout", "FeatureAlphaDropout",
]  # fmt: skip
SPATIAL: dict[str, tuple[Any, ...]] = {
    "Conv": (4, 6, 3, 2, 1), "ConvTranspose": (4, 6, 3, 2), "BatchNorm": (4,), "InstanceNorm": (4, 1e-5, 0.1, True),
    "MaxPool": (2,), "AvgPool": (2,), "LPPool": (2, 2), "AdaptiveAvgPool": (3,), "AdaptiveMaxPool": (3,),
    "Dropout": (0.3,), "ReflectionPad": (1,), "ReplicationPad": (1,), "ZeroPad": (1,), "ConstantPad": (1, 0.5),
    "CircularPad": (1,),
}  # fmt: skip


class Row(NamedTuple):
    """A module with its inputs, or a loss with an output and its target."""

    name: str
    make: Callable[[], nn.Module]
    inputs: tuple[Tensor, ...]
    target: Any = None


class Unpooled(nn.Module):
    """Maxima, put back where they were found."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.pool = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)
        self.unpool = getattr(nn, f"MaxUnpool{axes}d")(2)

    def forward(self, x):
        return self.unpool(*self.pool(x))


class Adaptive(nn.Module):
    """The logarithms of all classes' probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(6, 10, [4, 7])

    def forward(self, x):
        return self.softmax.log_prob(x)


class Classified(nn.Module):
    """A loss with a layer of its own: its value, one number."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.LinearCrossEntropyLoss(6, 5)
        self.register_buffer("labels", torch.tensor([2, 0, 4, 1]))

    def forward(self, x):
        return self.loss(x, self.labels)


def x(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(math.prod(shape)))


def rows() -> Iterator[Row]:
    yield from (Row(name, getattr(nn, name), (x(4, 6),)) for name in ELEMENTWISE)
    for axes in (1, 2, 3):
        image = (x(2, 4, *(8,) * axes),)
        for name, given in SPATIAL.items():
            if hasattr(nn, f"{name}{axes}d"):
                yield Row(f"{name}{axes}d", lambda k=f"{name}{axes}d", g=given: getattr(nn, k)(*g), image)
        yield Row(f"MaxUnpool{axes}d", lambda axes=axes: Unpooled(axes), image)
    for axes in (2, 3):
        name = f"FractionalMaxPool{axes}d"
        yield Row(name, lambda k=name: getattr(nn, k)(2, output_size=3), (x(2, 4, *(8,) * axes),))
    yield from layers()
    yield from losses()


def layers() -> Iterator[Row]:
    table, image, words, sequence = (x(4, 6),), (x(2, 4, 5, 5),), (torch.arange(12).view(3, 4) % 9,), (x(2, 5, 8),)
    yield Row("Threshold", lambda: nn.Threshold(0.1, 0.2), table)
    for name in ("Softmax", "Softmin", "LogSoftmax"):
        yield Row(name, lambda k=name: getattr(nn, k)(-1), table)
    yield Row("Softmax2d", nn.Softmax2d, image)
    yield Row("LayerNorm", lambda: nn.LayerNorm(6), table)
    yield Row("RMSNorm", lambda: nn.RMSNorm(6, eps=0.1), table)
    yield Row("GroupNorm", lambda: nn.GroupNorm(2, 4), image)
    yield Row("LocalResponseNorm", lambda: nn.LocalResponseNorm(2), image)
    yield Row("CrossMapLRN2d", lambda: nn.CrossMapLRN2d(2), image)
    for name in ("RNN", "LSTM", "GRU"):
        two = {"num_layers": 2, "bidirectional": True, "batch_first": True}
        yield Row(name, lambda k=name, given=two: getattr(nn, k)(8, 5, **given), sequence)
        yield Row(f"{name}Cell", lambda k=f"{name}Cell": getattr(nn, k)(6, 5), table)
    yield Row("LSTM", lambda: nn.LSTM(8, 5, proj_size=3), sequence)
    yield Row("Linear", lambda: nn.Linear(6, 3), table)
    yield Row("Bilinear", lambda: nn.Bilinear(6, 5, 3), (x(4, 6), x(4, 5)))
    yield Row("CosineSimilarity", nn.CosineSimilarity, (x(4, 6), x(4, 6) + 1))
    yield Row("PairwiseDistance", nn.PairwiseDistance, (x(4, 6), x(4, 6) + 1))
    yield Row("Embedding", lambda: nn.Embedding(9, 4, padding_idx=1), words)
    yield Row("EmbeddingBag", lambda: nn.EmbeddingBag(9, 4), words)
    yield Row("PixelShuffle", lambda: nn.PixelShuffle(2), image)
    yield Row("PixelUnshuffle", lambda: nn.PixelUnshuffle(2), (x(2, 2, 4, 4),))
    yield Row("ChannelShuffle", lambda: nn.ChannelShuffle(2), image)
    yield Row("Upsample", lambda: nn.Upsample(scale_factor=2, mode="bicubic"), image)
    yield Row("UpsamplingNearest2d", lambda: nn.UpsamplingNearest2d(scale_factor=2), image)
    yield Row("UpsamplingBilinear2d", lambda: nn.UpsamplingBilinear2d(scale_factor=2), image)
    yield Row("Fold", lambda: nn.Fold((4, 4), 2), (x(2, 12, 9),))
    yield Row("Unfold", lambda: nn.Unfold(2), image)
    yield Row("Unflatten", lambda: nn.Unflatten(1, (2, 3)), table)
    yield Row("MultiheadAttention", lambda: nn.MultiheadAttention(8, 2, batch_first=True), sequence * 3)
    given = {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "batch_first": True}
    encoder, decoder = (lambda: nn.TransformerEncoderLayer(**given)), (lambda: nn.TransformerDecoderLayer(**given))
    both = (x(2, 5, 8), x(2, 4, 8))
    yield Row("TransformerEncoderLayer", encoder, sequence)
    yield Row("TransformerEncoder", lambda: nn.TransformerEncoder(encoder(), 2), sequence)
    yield Row("TransformerDecoderLayer", decoder, both)
    yield Row("TransformerDecoder", lambda: nn.TransformerDecoder(decoder(), 2), both)
    yield Row("Transformer", lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), both)
    yield Row("AdaptiveLogSoftmaxWithLoss", Adaptive, table)
    if hasattr(nn, "LinearCrossEntropyLoss"):  # since torch 2.13
        yield Row("LinearCrossEntropyLoss", Classified, table)


def losses() -> Iterator[Row]:
    output, labels, share = (x(4, 6),), torch.tensor([2, 0, 5, 1]), x(4, 6).sigmoid()
    signs, ones = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64), (x(4, 6) > 0).double()
    for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"):
        yield Row(name, getattr(nn, name), output, x(4, 6) * 2)
    for name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss"):
        yield Row(name, getattr(nn, name), output, labels)
    for name in ("BCEWithLogitsLoss", "KLDivLoss", "PoissonNLLLoss"):
        yield Row(name, getattr(nn, name), output, share)
    yield Row("BCELoss", nn.BCELoss, (share,), ones)
    yield Row("HingeEmbeddingLoss", nn.HingeEmbeddingLoss, output, 2 * ones - 1)
    yield Row("SoftMarginLoss", nn.SoftMarginLoss, output, 2 * ones - 1)
    yield Row("MultiLabelMarginLoss", nn.MultiLabelMarginLoss, output, torch.tensor([[1, 2, -1, 0, 0, 0]] * 4))
    yield Row("MultiLabelSoftMarginLoss", nn.MultiLabelSoftMarginLoss, output, ones)
    yield Row("CosineEmbeddingLoss", nn.CosineEmbeddingLoss, output, (x(4, 6) + 1, signs))
    yield Row("MarginRankingLoss", nn.MarginRankingLoss, (x(4),), (x(4) + 1, signs))
    yield Row("TripletMarginLoss", nn.TripletMarginLoss, output, (x(4, 6) + 1, x(4, 6) - 1))
    yield Row("TripletMarginWithDistanceLoss", nn.TripletMarginWithDistanceLoss, output, (x(4, 6) + 1, x(4, 6) - 1))
    yield Row("GaussianNLLLoss", nn.GaussianNLLLoss, output, (x(4, 6) + 1, share))
    lengths = torch.full((4,), 5), torch.full((4,), 2)
    yield Row("CTCLoss", nn.CTCLoss, (x(5, 4, 6).log_softmax(2),), (torch.tensor([[1, 2]] * 4), *lengths))


class Scaled(nn.Module):
    """The module behind a factor of each input of floating point: so that the gradient of every input counts."""

    def __init__(self, module: nn.Module, inputs: int) -> None:
        super().__init__()
        self.module = module
        self.factors = nn.ParameterList(torch.ones(1) for _ in range(inputs))

    def forward(self, *inputs):
        scaled = [x * w if x.is_floating_point() else x for x, w in zip(inputs, self.factors, strict=True)]
        output = self.module(*scaled)
        while isinstance(output, tuple):
            output = output[0]
        return output


def weighed(output: Tensor, _target: object) -> tuple[Tensor, int]:
    """A sum in which no two elements count alike."""
    return (output * torch.arange(1, output.numel() + 1, dtype=output.dtype).view(output.shape)).sin().sum(), 1


def gradients(engine: type, row: Row) -> tuple[float, dict[str, Tensor]]:
    torch.manual_seed(0)
    is_loss = row.target is not None
    module = Scaled(nn.Identity() if is_loss else row.make(), len(row.inputs)).double()
    loss = row.make() if is_loss else None

    def called(output: Tensor, target: Any) -> Any:
        assert loss is not None
        return loss(output, *target) if isinstance(target, tuple) else loss(output, target)

    part = Part(0, row.inputs, row.target if is_loss else torch.zeros(1), draws=5)
    made = engine(module, called if is_loss else weighed)
    made.prepare(part)
    places = {name: torch.full_like(p, float("nan")) for name, p in module.named_parameters()}
    outcome = made.gradients(part, Destination(places))
    return float(outcome.loss_sum), places


ROWS = [*rows()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_module_has_a_program_with_autograds_gradients(row: Row) -> None:
    expected_loss, expected = gradients(AutogradEngine, row)
    if row.name in REFUSED:
        with pytest.raises(Exception, match=REFUSED[row.name]):
            gradients(ManualEngine, row)
        return
    loss, found = gradients(ManualEngine, row)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)  # a factor of a norm's input has next to none


def test_no_module_is_left_out() -> None:
    modules = {name for name, kind in inspect.getmembers(nn, inspect.isclass) if issubclass(kind, nn.Module)}
    lazy = {name for name in modules if name.startswith("Lazy")}
    assert modules - lazy - OTHERWISE == {row.name for row in ROWS} - OTHERWISE
