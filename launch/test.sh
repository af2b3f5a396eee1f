#!/bin/sh
# Sets everything up and runs the tests, in two processes, since most of their time goes into compiling.
# Arguments go to pytest: `sh launch/test.sh -m slow`.
set -eu
cd "$(dirname "$0")/.."
sh launch/setup.sh test
exec .venv/bin/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder "$@"
