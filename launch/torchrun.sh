#!/usr/bin/env bash
# Trains with torchrun, on this machine or on several nodes that meet at one address; run it on each node:
#   launch/torchrun.sh 4 workload=vision/digits_mlp
#   NODES=2 RENDEZVOUS=node0:29500 launch/torchrun.sh 8 workload=vision/digits_mlp     (8 workers on each)
set -euo pipefail
source "$(dirname "$0")/environment.sh" openmpi
workers=$1
shift
options=(--nproc-per-node "$workers")
if [ -n "${RENDEZVOUS:-}" ]; then
    options+=(--nnodes "${NODES:?the number of nodes}" --rdzv-backend c10d --rdzv-endpoint "$RENDEZVOUS" --rdzv-id "${JOB_ID:-distbp}")
else
    options+=(--standalone)
fi
exec .venv/bin/torchrun "${options[@]}" -m distbp train "$@"
