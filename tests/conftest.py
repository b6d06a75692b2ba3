"""Fixtures that every room's tests may use."""

from collections.abc import Iterator

import pytest

from tests.pool import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """The resident ranks, started when a test first asks for their kind and size."""
    ranks = Pool()
    yield ranks
    ranks.end()
