"""Fixtures that every room's tests may use, and how the rooms are dealt out where several processes run them."""

import gc
import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests.pool import Pool

# A test's time-out is pytest's. Hypothesis would take a first call's imports, or a busy machine, for a failure.
settings.register_profile("distbp", deadline=None)
settings.load_profile("distbp")

if "PYTEST_XDIST_WORKER" in os.environ:  # it has a neighbour: threads of both would wait for the same cores
    torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """What has been loaded stays until the end: no search for garbage has to go through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Who runs what, under ``pytest -n 2 --dist loadfile``."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.dealing import OneJobAtATime

    return OneJobAtATime(config, log)


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """The resident ranks, started when a test first asks for their kind and size."""
    ranks = Pool()
    yield ranks
    ranks.end()
