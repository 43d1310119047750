"""What processes that the project starts get of the reader's environment: decided here.

All is passed on but settings that change or stop a run: Python's, Jupyter's, IPython's,
Matplotlib's, Snakemake's and Bash's. About TensorFlow's and Keras' `lib.engine` decides, because
notebooks can be opened by hand; about pip's and npm's `lib.registries`; and about the environment
of the first Python ``tools/environment.sh``.
"""

import os
import re
from importlib import metadata
from pathlib import Path

from lib import ROOT, cache

_NOT_PASSED = re.compile(
    "PYTHON(?!NOUSERSITE$)|IPYTHON|JUPYTER|MPL|MATPLOTLIB|SNAKEMAKE|PAPERMILL|BASH_(ENV|FUNC)"
    "|CIFAR10_LADDER_(CORES|MAIN|PARENT)$"
)
_PATHS = ("CIFAR10_DIR", "KERAS_HOME", "VGG16_WEIGHTS")
_OWN = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")


def of_children(**more: str) -> dict[str, str]:
    """Returns the environment of a process that this one starts.

    Paths in it are absolute: notebooks work in the project's folder, wherever a run was started.
    What Matplotlib, IPython and Jupyter read and write lies in the user cache: nothing depends on
    the reader's home, or is left there.

    Args:
        **more: variables to add.

    Raises:
        OSError: if the user cache cannot be written.
    """
    passed = {name: text for name, text in os.environ.items() if not _NOT_PASSED.match(name)}
    for name in _PATHS:
        if passed.get(name, "auto") not in ("", "auto"):
            passed[name] = os.path.abspath(os.path.expanduser(passed[name]))
    # An environment built on another one (--system-site-packages) has nbconvert's templates there.
    packages = Path(str(metadata.distribution("nbconvert").locate_file("")))
    return {
        **passed,
        **dict.fromkeys(_OWN, str(cache.folder("jupyter"))),
        "CIFAR10_LADDER_CACHE": str(cache.folder()),
        "JUPYTER_PATH": str(packages.parents[2] / "share" / "jupyter"),
        "MPLCONFIGDIR": str(cache.folder("matplotlib")),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        **more,
    }
