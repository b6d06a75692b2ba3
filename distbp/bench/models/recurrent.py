"""A word-level LSTM language model of the size of Zaremba et al. 2014's small one, without dropout.

N sequences, T words of each, V words in all.
"""

import torch
from torch import Tensor, nn

from distbp.bench.models.case import Case, cross_entropy

VOCABULARY = 10_000
WIDTH = 200
LAYERS = 2
STEPS = 35


class LanguageModel(nn.Module):
    """Embedding, LSTM from a state of zeros, scores of the next word.   (T, N) int64 -> (T, N, V)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS)
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, words: Tensor) -> Tensor:
        """The scores of the word after each word."""
        h, _ = self.lstm(self.embedding(words))
        scores: Tensor = self.head(h)
        return scores


def lstm_lm(batch: int = 20) -> Case:
    """The language model and a batch of random words, each target the word that follows."""
    words = torch.randint(VOCABULARY, (STEPS + 1, batch))
    return Case(LanguageModel(), cross_entropy, (words[:-1].clone(),), words[1:].clone(), "sgd", batch_dim=1)
