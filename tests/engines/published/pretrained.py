"""GPT-2 and BERT as the package ``transformers`` has them, small, with weights of their own: nothing is downloaded.

N sentences, T words of each, V the vocabulary. Their attention drops nothing: torch's kernel would draw other masks
than a program does.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distbp.bench.models.case import Case

VOCABULARY, WIDTH, LAYERS, HEADS, LENGTH = 50, 32, 2, 4, 12
IGNORED = -100


def gpt2() -> Case:
    """GPT-2 (Radford et al. 2019), its head tied to the embedding, which scores the word that follows each word."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    drawn = torch.randint(VOCABULARY, (3, LENGTH + 1))
    return Case(GPT2LMHeadModel(config), logits, (drawn[:, :-1].clone(),), drawn[:, 1:].clone(), "adamw")


def bert() -> Case:
    """BERT (Devlin et al. 2019) under a mask of padding, which scores the words at every sixth place."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, max_position_embeddings=LENGTH, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    drawn = torch.randint(1, VOCABULARY, (3, LENGTH))
    present = (torch.arange(LENGTH) < torch.tensor([12, 10, 7])[:, None]).long()
    asked = torch.where(torch.arange(LENGTH) % 6 == 1, drawn, IGNORED)
    return Case(BertForMaskedLM(config), logits, (drawn * present, present), asked, "adamw")


def logits(output: Any, target: Tensor) -> tuple[Tensor, Tensor]:
    """The cross entropy of the words that are asked for, and how many there are.   logits (N, T, V), (N, T) -> ()."""
    loss = F.cross_entropy(output.logits.flatten(0, 1), target.flatten(), reduction="sum", ignore_index=IGNORED)
    return loss, (target != IGNORED).sum()
