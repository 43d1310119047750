"""Why a run failed, in one sentence, however it ended."""

import builtins
import json
import re
import signal
import traceback
from pathlib import Path

from lib import errors
from lib.errors import LadderError

FAILED = "FAILED: "
"""Begins the line of a log that says why a run failed."""
ERROR = re.compile(
    r"(\S*: )?([\w.]+(Error|Exception|Exit|Interrupt)(:|$)|[Ee]rror: |Fatal |No module )"
)
"""Begins a line that names an error: Python's, Snakemake's, or a command's."""
CAUSES = {
    "SIGKILL": "; the usual cause is too little memory",
    "SIGILL": "; the usual cause is a processor that TensorFlow does not support",
    "SIGXCPU": "; the usual cause is a limit on processor time",
}
"""Why the system ends processes, by signal."""


class UsageError(LadderError):
    """A command line that makes no sense; the message says what was expected."""


class RunError(RuntimeError):
    """A notebook that did not do its job; the message says which and why."""


def of(error: Exception) -> str:
    """Returns what an error says, in one line."""
    kind = getattr(error, "ename", type(error).__name__)  # papermill's names the notebook's error
    text = re.sub(r"\x1b\[[\d;]*m", "", str(getattr(error, "evalue", error)))
    lines = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    text = next((line for line in lines if not line.endswith(":")), text.strip())  # TensorFlow's
    if kind in ("MemoryError", "ResourceExhaustedError"):
        return f"there is too little memory ({text or kind})"
    known = getattr(errors, kind, getattr(builtins, kind, type(error)))
    if not text or not issubclass(known, LadderError | OSError | RunError):
        text = f"{kind}: {text}" if text else kind
    return " ".join(text.split())


def of_notebook(error: Exception, executed: Path, *, log: str, ran: bool) -> str:
    """Returns why a notebook failed.

    Args:
        error: that ended it.
        executed: the notebook as far as it got.
        log: text of its log.
        ran: whether the notebook had ended, so that its page was being made.
    """
    kind, text = type(error).__name__, of(error)
    if kind == "DeadKernelError":
        return f"the notebook's kernel died in {_last_cell(executed)}{CAUSES['SIGKILL']}"
    if kind == "NoSuchKernel" or (kind == "RuntimeError" and str(error).startswith("Kernel d")):
        return f"the notebook's kernel did not start: {last_error(log) or error}"
    if ran and not isinstance(error, LadderError | RunError):
        return f"the notebook ran, but its page could not be written: {text}"
    return text


def _last_cell(executed: Path) -> str:
    """Names the last cell of a notebook that began."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"] if executed.is_file() else []
    began = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")]
    code = [cell for cell in began if cell["cell_type"] == "code"]
    if not code or "setup" in code[-1]["metadata"].get("tags", ()):
        return "its set-up cell"
    return f"the cell {''.join(code[-1]['source']).strip().splitlines()[0].lstrip('# ')!r}"


def last_error(text: str) -> str:
    """Returns the last line of a log that names an error, or an empty text.

    Of errors that came while another was handled it is the first, which is the cause.
    """
    text = text.split("During handling of the above exception")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [number for number, line in enumerate(lines) if ERROR.match(line)]
    if not found:
        return ""
    ends = found[-1] + (2 if lines[found[-1]].endswith(":") else 1)  # Snakemake goes on below
    return " ".join(lines[found[-1] : ends])


def ending(code: int) -> str:
    """Says how a process ended that gave no reason.

    Args:
        code: its return code. Signals are negative, or from a shell 128 and more.
    """
    try:
        name = signal.Signals(-code if code < 0 else code - 128).name
    except ValueError:
        return f"ended with exit code {code} and gave no reason"
    return f"was ended by {name}{CAUSES.get(name, '')}"


def why(own: str, others: str, code: int) -> str:
    """Returns why a process failed.

    Args:
        own: text of its log.
        others: text of what it wrote to the error stream.
        code: its return code.
    """
    lines = [*others.splitlines(), *own.splitlines()]
    if failed := [line for line in lines if line.startswith(FAILED)]:
        return failed[-1].removeprefix(FAILED)
    error = "" if code < 0 or code > 128 else last_error(others)
    return error or f"its process {ending(code)}"


def log(out: Path, name: str) -> Path:
    """Returns the path of a run's log."""
    return out / "logs" / f"{name}.log"


def read(out: Path, name: str) -> str:
    """Returns the text of a log, empty where there is none."""
    path = log(out, name)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def write(reason: str, out: Path, name: str, error: Exception | None = None) -> None:
    """Writes into a log why a run failed, unless it says so already.

    Args:
        reason: the one sentence.
        out: the report's folder.
        name: of the log.
        error: the error, whose details are written too.

    Raises:
        OSError: if there can be no log.
    """
    if f"{FAILED}{reason}\n" in read(out, name):
        return
    log(out, name).parent.mkdir(parents=True, exist_ok=True)
    with log(out, name).open("a", encoding="utf-8", errors="replace") as file:
        file.write("".join(traceback.format_exception(error)) if error else "")
        file.write(f"{FAILED}{reason}\n")
