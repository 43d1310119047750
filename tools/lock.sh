#!/usr/bin/env bash
# Renews requirements.lock from pyproject.toml: the whole tree for Python
# 3.11 to 3.13 on every platform, pinned, with hashes. Needs a package index.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool/venv"
"$tool/venv/bin/pip" install --quiet uv
# The range in pyproject.toml admits 2.20 (Colab's); the lock takes the newest.
echo "tensorflow==2.21.*" > "$tool/newest.txt"
"$tool/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --upgrade \
    --generate-hashes --no-header --no-annotate --constraint "$tool/newest.txt" \
    pyproject.toml --output-file requirements.lock
echo "requirements.lock: $(grep -cE '^[A-Za-z].*==' requirements.lock) packages"
