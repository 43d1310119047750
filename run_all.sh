#!/bin/sh
# Runs the ladder and writes the report. See --help, or README.md.
set -eu
root=$(dirname -- "$(readlink -f -- "$0")")  # also of a link
. "$root/tools/environment.sh"
exec "$PYTHON" -P -m ladder "$@"  # -P: no module of the working directory
