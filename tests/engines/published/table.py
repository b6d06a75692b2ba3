"""The models that people train, on which the two engines must agree: those of the bench, and others' architectures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from distbp.bench.models.case import Case
from distbp.bench.models.table import MODELS
from tests.engines.published.bottleneck import resnet50, smooth_resnet50
from tests.engines.published.pretrained import bert, gpt2
from tests.engines.published.translation import translation
from tests.engines.published.unet import unet


@dataclass(frozen=True)
class Published:
    """One row of the table.

    ``vanishing`` are the ends of the names of parameters whose gradient is zero for every batch: a bias before batch
    norm, which takes it away again; a bias of attention's keys, which moves all scores of a query alike. ``seeds`` is
    how many draws of weights and batch the law in float32 is held to.
    """

    name: str
    make: Callable[[], Case]
    vanishing: tuple[str, ...] = ()
    seeds: int = 1

    def __str__(self) -> str:
        return self.name

    def case(self, seed: int = 0) -> Case:
        """The case from this seed; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make()


PUBLISHED = [
    Published("mlp_small", partial(MODELS["mlp_small"], batch=8)),
    Published("mlp_large", partial(MODELS["mlp_large"], batch=8)),
    Published("cnn", partial(MODELS["cnn"], batch=8), vanishing=("0.bias", "4.bias")),
    Published("resnet20", partial(MODELS["resnet20"], batch=8)),
    Published("lstm_lm", partial(MODELS["lstm_lm"], batch=2)),
    Published("gpt_small", partial(MODELS["gpt_small"], batch=2)),
    Published("gpt_vocab", partial(MODELS["gpt_vocab"], batch=1)),
    Published("neumf", partial(MODELS["neumf"], batch=64)),
    Published("transformer", translation),
    Published("gpt2", gpt2),
    Published("bert", bert, vanishing=("key.bias",)),
    Published("resnet50", resnet50, seeds=5),
    Published("smooth resnet50", smooth_resnet50),
    Published("unet", unet),
]
