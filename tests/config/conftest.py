"""The command line's fixtures, for configuration that comes through it."""

from tests.cli.conftest import distbp, here, launched

__all__ = ["distbp", "here", "launched"]
