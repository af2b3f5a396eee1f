#!/bin/sh
# One machine, several processes under jax.distributed, as a rehearsal of a cluster without one.
#   sh launch/local.sh 2 --config=configs/digits.py --mode=train
set -eu
cd "$(dirname "$0")/.."
export JAX_NUM_CPU_DEVICES="${JAX_NUM_CPU_DEVICES:-1}" # the processes share the cores already
. launch/environment.sh
num_processes=$1
shift
port=${PORT:-12421}
pids=""
trap 'kill $pids 2>/dev/null || true' INT TERM
for id in $(seq 0 $((num_processes - 1))); do
    .venv/bin/python -m ddpm_jax.main "$@" \
        --coordinator="127.0.0.1:$port" --num_processes="$num_processes" --process_id="$id" &
    pids="$pids $!"
done
status=0
for pid in $pids; do
    wait "$pid" || status=$?
done
exit "$status"
