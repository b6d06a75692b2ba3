"""Whatever is typed is answered: with 0, or with 2 and one line."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbp import cli
from tests.cli.conftest import Launched

SIGNS = "=+~.,:@/${}[]()'\"\\#%&|!<>? -_"
KEYS = [
    "seed",
    "optimizer",
    "optimizer.lr",
    "workload",
    "workload.hidden",
    "data",
    "data.path",
    "steps",
    "resume",
    "hydra",
]
VALUES = [
    "1",
    "-1",
    "null",
    "true",
    "nan",
    "[1,2]",
    "{a: 1}",
    "adam",
    "${seed}",
    "${optimizer}",
    "1,2",
    "''",
    "1e400",
    "é",
]

keys = st.sampled_from(KEYS) | st.text(string.ascii_lowercase + "._/@", max_size=8)
values = st.sampled_from(VALUES) | st.text(string.ascii_letters + string.digits + SIGNS, max_size=8)
overrides = st.builds(
    lambda sign, key, value: f"{sign}{key}={value}", st.sampled_from(["", "+", "++", "~"]), keys, values
)
words = overrides | st.text(string.ascii_letters + string.digits + SIGNS, max_size=10)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(argv=st.lists(words, min_size=1, max_size=3))
def test_is_answered(launched: Launched, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    code = cli.main(["--cfg", "job", *argv] if len(argv) > 2 else argv)
    err = capsys.readouterr().err
    assert code in {0, 2}
    assert err.count("\n") == (code == 2)
    assert "Traceback" not in err
