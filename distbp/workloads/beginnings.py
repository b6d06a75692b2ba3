"""What an EfficientNet-Lite0 begins with: the weights of ImageNet, those that a run has saved, or its seed's own."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from distbp.data.sources import fetch
from distbp.errors import RequestError
from distbp.workloads.announce import announce
from distbp.workloads.efficientnet import HEAD

IMAGENET = "imagenet"
ALLOWED = f"{IMAGENET}, null or the model.safetensors of a checkpoint is allowed"
HEADER = 2**20  # bytes that the file of a net has at most besides its weights


def begin(net: nn.Module, weights: str | None, cache: str) -> None:
    """Put the ``weights`` of this name or path into the net, every one of them. RequestError where they do not fit."""
    if weights == IMAGENET:
        own = {name: value for name, value in net.state_dict().items() if of_head(name)}
        net.load_state_dict(published(cache) | own)
    elif weights is not None:
        fill(net, weights)


def published(cache: str) -> dict[str, Tensor]:
    """ImageNet's weights of all layers but the last, fetched once: a name of theirs has a ``_`` before each word."""
    found: Mapping[str, Tensor] = torch.load(fetch("efficientnet_lite0", cache, announce), weights_only=True)
    plain = {".".join(word.removeprefix("_") for word in name.split(".")): value for name, value in found.items()}
    return {name: value for name, value in plain.items() if not of_head(name)}


def of_head(name: str) -> bool:
    """Whether a parameter is one of the layers that know of the classes."""
    return name.partition(".")[0] in HEAD


def fill(net: nn.Module, path: str) -> None:
    """The weights of a file in the safetensors format. RequestError for whatever is wrong with it."""
    own = net.state_dict()
    found = tensors(path, most=HEADER + sum(value.nbytes for value in own.values()))
    for name in [*own, *(found.keys() - own.keys())]:
        its, wanted = look(found.get(name)), look(own.get(name))
        if its != wanted:
            what = f"it does not fit the net and its classes: {name} is {its} there, and {wanted} in the net"
            raise RequestError("workload.weights", path, what)
        if not found[name].isfinite().all():
            raise RequestError("workload.weights", path, f"{name} has numbers that are none, or too great")
    net.load_state_dict(found)


def look(value: Tensor | None) -> str:
    """Kind and shape of a tensor, or that there is none."""
    return "missing" if value is None else f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def tensors(path: str, *, most: int) -> dict[str, Tensor]:
    """The tensors of a plain file of ``most`` bytes or fewer."""
    try:
        file = Path(path).expanduser()
        if not file.is_file():
            raise RequestError("workload.weights", path, f"there is no such file; {ALLOWED}")
        if file.stat().st_size > most:
            raise RequestError("workload.weights", path, f"the net has no more than {most:,} bytes; {ALLOWED}")
        return load_file(file)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:  # RuntimeError: ~ of a user without a home
        what = f"it does not load ({' '.join(str(error).split())}); {ALLOWED}"
        raise RequestError("workload.weights", path, what) from None
