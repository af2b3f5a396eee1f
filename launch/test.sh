#!/bin/sh
# Sets everything up and runs the tests, in two processes, since most of their time goes into compiling.
# Arguments go to pytest: `sh launch/test.sh -m slow`. The variables of launch/setup.sh pick another environment:
#   VENV=.venv-lowest RESOLUTION=lowest-direct sh launch/test.sh
# EXTRA=dev installs what the checks of style and types need as well.
set -eu
cd "$(dirname "$0")/.."
sh launch/setup.sh "${EXTRA:-test}"
# Two processes use two cores; threads of NumPy's products would only wait for each other.
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
exec "${VENV:-.venv}/bin/python" -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder "$@"
