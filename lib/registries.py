"""pip and npm with the reader's index, proxy and certificates, and without other settings.

One such as ``user``, ``target`` or ``dry-run`` would put packages elsewhere or nowhere.
``tools/environment.sh`` runs this before anything is installed: it imports only Python's own.
"""

import ast
import os
import re
import subprocess
import sys

_PIP = re.compile(
    r"((extra-)?index-url|no-index|find-links|trusted-host|(client-)?cert|proxy|keyring-provider"
    r"|config-file|(no-)?cache-dir|(default-)?timeout|retries|use-feature|use-deprecated)$"
)
_NPM = re.compile(
    r"((https?-)?proxy|no-?proxy|registry|ca(file)?|cert(file)?|key(file)?|strict-ssl"
    r"|(user|global)config|local-address|-.*|.*[:/].*)$"
)


def pip_environment(command: str) -> dict[str, str]:
    """Returns the environment for a command of pip, with what counts of its configuration files.

    Where pip cannot read these, it is the reader's own: pip then says what is wrong.
    """
    kept = _passed("pip_", _PIP)
    listed = subprocess.run(
        [sys.executable, "-P", "-m", "pip", "config", "list"],
        env=kept | dict.fromkeys(("PIP_USER", "PIP_GLOBAL", "PIP_SITE", "PIP_QUIET"), "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if listed.returncode:
        return dict(os.environ)
    lines = [line.partition("=")[::2] for line in listed.stdout.splitlines()]
    found = {}
    for section in ("global", command):  # the command's own count more
        for name, value in lines:
            part, _, option = name.partition(".")
            if part == section and _PIP.match(option):
                found["PIP_" + option.upper().replace("-", "_")] = ast.literal_eval(value)
    return found | kept | {"PIP_CONFIG_FILE": os.devnull}


def npm_environment() -> dict[str, str]:
    """Returns the environment for npm."""
    return _passed("npm_config_", _NPM)


def _passed(prefix: str, options: re.Pattern) -> dict[str, str]:
    """Returns this process's environment without the client's variables, but those options."""
    return {
        name: text
        for name, text in os.environ.items()
        if not name.lower().startswith(prefix)
        or options.match(name[len(prefix) :].lower().replace("_", "-"))
    }


if __name__ == "__main__":
    pip = [sys.executable, "-P", "-m", "pip", *sys.argv[1:]]
    os.execve(sys.executable, pip, pip_environment(sys.argv[1]))
