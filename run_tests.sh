#!/bin/sh
# Checks style and runs the tests; arguments go to pytest.
set -eu
root=$(dirname -- "$(readlink -f -- "$0")")  # also of a link
. "$root/tools/environment.sh"
cd "$root"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
exec "$PYTHON" -m pytest "$@"
