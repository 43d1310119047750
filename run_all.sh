#!/usr/bin/env bash
# Runs the ladder and writes the report. See --help, or README.md.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$root/tools/environment.sh"
export PYTHONPATH=$root
exec "$PYTHON" -P -m ladder "$@"  # -P: no module of the working directory
