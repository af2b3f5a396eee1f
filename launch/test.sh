#!/bin/sh
# Sets everything up and runs the tests. Arguments go to pytest: `sh launch/test.sh -m slow`.
set -eu
cd "$(dirname "$0")/.."
sh launch/setup.sh test
exec .venv/bin/python -m pytest "$@"
