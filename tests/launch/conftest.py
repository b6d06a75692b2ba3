"""What one worker makes of the job that the launches of this room are compared with."""

import pytest

from tests.launch.bits import sweep


@pytest.fixture(scope="session")
def one_worker(tmp_path_factory):
    """The results of one worker, by engine: two jobs of one start."""
    return sweep(tmp_path_factory.mktemp("alone") / "sweep", "alone", 1)
