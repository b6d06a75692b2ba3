#!/usr/bin/env bash
# Trains the default workload on 2 workers of this machine: launch/train.sh [key=value ...]
set -euo pipefail
source "$(dirname "$0")/environment.sh" openmpi
.venv/bin/distbp data fetch digits
case " $* " in *" workers="*) ;; *) set -- workers=2 "$@" ;; esac
exec .venv/bin/distbp train "$@"
