"""torch.nn.Transformer (Vaswani et al. 2017) on two sentences: encoder and decoder, causal and padded.

N pairs of sentences, S and T the words of the two, V the vocabulary, C the width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.bench.models.case import Case

VOCABULARY, WIDTH, PAD = 40, 32, 0


class Translation(nn.Module):
    """The scores of the next word of the translation.   (N, S) int64, (N, T) int64 -> (N, T, V).

    Its attention drops nothing: torch's kernel would draw other masks than a program does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH, padding_idx=PAD)
        self.transformer = nn.Transformer(WIDTH, 4, 2, 2, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.head = nn.Linear(WIDTH, VOCABULARY)
        for module in self.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        absent = source == PAD
        h = self.transformer(
            self.words(source), self.words(target), tgt_mask=causal, tgt_is_causal=True,
            src_key_padding_mask=absent, memory_key_padding_mask=absent, tgt_key_padding_mask=target == PAD,
        )  # fmt: skip
        return self.head(h)


def words(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The cross entropy of the words that are not padding, and how many there are.   (N, T, V), (N, T) -> ()."""
    loss = F.cross_entropy(output.flatten(0, 1), target.flatten(), reduction="sum", ignore_index=PAD)
    return loss, (target != PAD).sum()


def sentences(n: int, length: int) -> Tensor:
    """Random words, each sentence one shorter than the last, padded.   (N, length) int64."""
    drawn = torch.randint(1, VOCABULARY, (n, length))
    return torch.where(torch.arange(length) < length - torch.arange(n)[:, None], drawn, PAD)


def translation() -> Case:
    """Three pairs of sentences; the decoder is given the translation and shall say the word that follows."""
    source, translated = sentences(3, 9), sentences(3, 8)
    return Case(Translation(), words, (source, translated[:, :-1].clone()), translated[:, 1:].clone(), "adamw")
