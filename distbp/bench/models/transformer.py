"""GPTs (Radford et al. 2019, in nanoGPT's shapes): layer norm first, causal attention, no dropout, untied head."""

import torch

from distbp.bench.models.case import Case, cross_entropy
from distbp.workloads.transformer import Transformer


def gpt_small(batch: int = 12) -> Case:
    """128 wide, a context of 64, 65 characters."""
    return case(batch, vocabulary=65, context=64, width=128)


def gpt_vocab(batch: int = 8) -> Case:
    """256 wide, a context of 128, 10,000 tokens: half of the work is the head's."""
    return case(batch, vocabulary=10_000, context=128, width=256)


def case(batch: int, *, vocabulary: int, context: int, width: int) -> Case:
    """A GPT with four heads and a batch of random tokens, each target the token that follows."""
    module = Transformer(vocabulary=vocabulary, context=context, width=width, heads=4, layers=4)
    tokens = torch.randint(vocabulary, (batch, context + 1))
    return Case(module, cross_entropy, (tokens[:, :-1].clone(),), tokens[:, 1:].clone(), "adamw")
