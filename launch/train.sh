#!/usr/bin/env bash
# Trains the default workload on 2 workers of this machine: launch/train.sh [key=value ...]
set -euo pipefail
source "$(dirname "$0")/environment.sh" openmpi
case " $* " in *" workers="*) ;; *) set -- workers=2 "$@" ;; esac
exec .venv/bin/distbp train "$@"
