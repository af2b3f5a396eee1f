#!/bin/sh
# Makes the environment .venv and installs ddpm_jax into it; does nothing when that is done already.
#   sh launch/setup.sh [EXTRA]     EXTRA: test, dev, cuda12, or several with commas
# Variables: PYTHON picks the Python, VENV the environment's folder. RESOLUTION=lowest-direct installs the lowest
# versions that pyproject.toml admits, with uv, which it puts into the environment; pip knows the newest only.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}
wanted=".${1:+[$1]}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $python is $("$python" --version 2>&1), wanted 3.11 or newer; set PYTHON to one" >&2
    exit 2
}
if [ ! -x "$venv/bin/python" ]; then
    echo "making $venv with $("$python" --version)" >&2
    # Debian's Python has venv but not the pip to put into it, unless python3-venv is installed.
    "$python" -m venv "$venv" >/dev/null 2>&1 || "$python" -m venv --clear --without-pip "$venv"
fi
stamp="$venv/installed-$(echo "$wanted${RESOLUTION:-}" | tr -c 'a-z0-9\n' '-')"
if ! cmp -s pyproject.toml "$stamp"; then
    echo "installing ddpm_jax and what it needs (about 3 GB, minutes)" >&2
    if [ -n "${RESOLUTION:-}" ]; then
        "$venv/bin/python" -m pip install --quiet uv >&2
        "$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" \
            --resolution "$RESOLUTION" --upgrade --editable "$wanted" >&2
    elif "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        "$venv/bin/python" -m pip install --quiet --editable "$wanted" >&2
    else
        "$python" -m pip --python "$venv/bin/python" install --quiet --editable "$wanted" >&2
    fi
    cp pyproject.toml "$stamp"
fi
