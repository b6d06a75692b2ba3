"""A last batch that is too small for batch norm is known before the first step."""

import pytest
import torch
from torch import nn

from distbp.data.loader import Loader
from distbp.errors import RequestError
from distbp.training.data_parallel import DataParallel
from distbp.training.last_batch import refuse_too_small
from tests.training.test_evaluation import Numbered


class Rows(Numbered):
    """The ten numbers as rows of one, or as pictures of 2x2."""

    def __init__(self, *shape):
        self.shape = shape

    def batch(self, samples, draws):
        (numbers,), target = super().batch(samples, draws)
        return (numbers.view(-1, 1, *(1 for _ in self.shape)).expand(-1, 1, *self.shape).contiguous(),), target


def refuse(module, split, batch_size, engine):
    loader = Loader(split, batch_size=batch_size, shards=2, seed=0, rank=0, size=1, min_part=2)
    parallel = DataParallel(module, nn.CrossEntropyLoss(), engine=engine, min_part=2)
    parallel.prepare(loader.example())
    before = [buffer.clone() for buffer in module.buffers()]
    refuse_too_small(parallel, loader)
    assert all(map(torch.equal, module.buffers(), before))


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_one_sample_left_is_refused_where_batch_norm_needs_two(engine):
    rows = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2))
    with pytest.raises(
        RequestError, match=r"batch_size=3: it leaves 1 of 10 samples for the last batch .* \(.*more than 1"
    ):
        refuse(rows, Rows(), 3, engine)
    for enough in (4, 5, 10):
        refuse(rows, Rows(), enough, engine)
    refuse(nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2)), Rows(2, 2), 3, engine)
