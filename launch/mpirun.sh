#!/usr/bin/env bash
# Trains with mpirun, on this machine or on the hosts of a host file:
#   launch/mpirun.sh 4 workload=vision/digits_mlp
#   HOSTFILE=hosts launch/mpirun.sh 64 workload=vision/digits_mlp       (one "name slots=N" a line)
set -euo pipefail
source "$(dirname "$0")/environment.sh" openmpi
workers=$1
shift
options=(-n "$workers" --bind-to none)
if [ -n "${HOSTFILE:-}" ]; then
    options+=(--hostfile "$HOSTFILE")
elif [ "$workers" -gt "$(nproc)" ]; then
    options+=(--oversubscribe)
fi
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
exec mpirun "${options[@]}" .venv/bin/python -m distbp train "$@"
