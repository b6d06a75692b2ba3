"""Fixtures that every room's tests may use."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.pool import Pool

# A test's time-out is pytest's. Hypothesis would take a first call's imports, or a busy machine, for a failure.
settings.register_profile("distbp", deadline=None)
settings.load_profile("distbp")


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """The resident ranks, started when a test first asks for their kind and size."""
    ranks = Pool()
    yield ranks
    ranks.end()
