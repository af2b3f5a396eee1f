#!/bin/sh
# Sets everything up and runs the whole chain on the bundled digits. More flags may follow.
set -eu
cd "$(dirname "$0")/.."
sh launch/setup.sh
. launch/environment.sh
exec .venv/bin/python -m ddpm_jax.main --config=configs/digits.py "$@"
