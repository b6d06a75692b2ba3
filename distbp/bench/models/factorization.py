"""NeuMF (He et al. 2017): a generalised matrix factorisation beside a perceptron, on the sizes of MovieLens 100K."""

import torch
from torch import Tensor, nn

from distbp.bench.models.case import Case, binary_cross_entropy

USERS, ITEMS = 943, 1682
FACTORS = 8
LAYERS = (64, 32, 16, 8)  # of the perceptron; its first is a user's and an item's embedding, side by side


class NeuMF(nn.Module):
    """A score for each pair of a user and an item.   (N) int64, (N) int64 -> (N)."""

    def __init__(self) -> None:
        super().__init__()
        self.gmf_user, self.gmf_item = nn.Embedding(USERS, FACTORS), nn.Embedding(ITEMS, FACTORS)
        self.mlp_user, self.mlp_item = nn.Embedding(USERS, LAYERS[0] // 2), nn.Embedding(ITEMS, LAYERS[0] // 2)
        self.perceptron = nn.Sequential(
            nn.Linear(LAYERS[0], LAYERS[1]), nn.ReLU(),
            nn.Linear(LAYERS[1], LAYERS[2]), nn.ReLU(),
            nn.Linear(LAYERS[2], LAYERS[3]), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FACTORS + LAYERS[-1], 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """The logit of whether the user likes the item."""
        product = self.gmf_user(users) * self.gmf_item(items)
        deep = self.perceptron(torch.cat([self.mlp_user(users), self.mlp_item(items)], dim=1))
        scores: Tensor = self.head(torch.cat([product, deep], dim=1))
        return scores.squeeze(1)


def neumf(batch: int = 1024) -> Case:
    """NeuMF and a batch of random pairs, liked or not."""
    pairs = (torch.randint(USERS, (batch,)), torch.randint(ITEMS, (batch,)))
    return Case(NeuMF(), binary_cross_entropy, pairs, torch.randint(2, (batch,)).float(), "adamw")
