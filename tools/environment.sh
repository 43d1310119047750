# Sourced by run_all.sh and run_tests.sh: sets PYTHON to an interpreter that has all that
# pyproject.toml asks for. An active conda or virtual environment that satisfies it is
# used as it is; otherwise .venv is made from requirements.lock, once.
#
# Needs: root (the project's folder).

# What Python itself reads of the reader's environment stays out; ladder/environment.py decides about
# the rest.
for name in $(env | LC_ALL=C sed -n 's/^\(PYTHON[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
export PYTHONNOUSERSITE=1 PYTHONPATH="$root" PYTHONUTF8=1

supported() {
    "$1" -P -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null
}

PYTHON=
if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then
    if ! supported python; then
        has=$(python --version 2>&1) || has="no program called python"
        echo "The active environment has $has, expected Python 3.11, 3.12 or 3.13;" \
            ".venv is used instead." >&2
    elif python -P "$root/tools/satisfied.py" "$root/pyproject.toml"; then
        PYTHON=python
    fi
fi
if [ -z "$PYTHON" ]; then
    PYTHON=$root/.venv/bin/python
    stamp=$root/.venv/made-from.lock
    if ! cmp -s "$root/requirements.lock" "$stamp" || ! supported "$PYTHON"; then
        base=
        for candidate in python3 python3.12 python3.11 python3.13 python; do
            if supported "$candidate"; then base=$candidate; break; fi
        done
        if [ -z "$base" ]; then
            echo "No Python 3.11, 3.12 or 3.13 was found; install one and run this again." >&2
            exit 1
        fi
        echo "Making the environment in .venv (once; a few minutes) …"
        pip() { "$PYTHON" -P -m lib.registries "$@" --quiet --disable-pip-version-check; }
        if ! { "$base" -P -m venv --clear "$root/.venv" \
            && pip install --require-hashes --requirement "$root/requirements.lock" \
            && pip install --no-deps --no-build-isolation --editable "$root"; }; then
            echo "The environment could not be made: see the lines above. With a package index" \
                "within reach, run this again; it starts afresh." >&2
            exit 1
        fi
        cp "$root/requirements.lock" "$stamp"
    fi
fi
