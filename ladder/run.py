"""Runs one notebook, strictly: ``python -m ladder.run 00_base_cnn --profile quick --seed 0``.

Success is the record and exit code 0. The run works in a folder of its own inside
``<out>/.running``; record, predictions and page move into place only when all is done, the
record last. What fails or is interrupted leaves nothing but its log and, for who wants to see, the
notebook with the error in it.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from ladder.report import pages, summary, verdicts
from lib import ROOT, results
from lib.results import parameters
from lib.results.parameters import ParameterError
from lib.training import checkpoints

KERNEL_START_SECONDS = 300
CELL_SECONDS = 14 * 24 * 3600
IDLE = "CIFAR10_LADDER_IDLE_SECONDS"
"""Environment variable: how long a kernel may do no work before it counts as hung."""
IDLE_SECONDS = 900.0
PARENT = "CIFAR10_LADDER_PARENT"
"""Environment variable: process of the main job, without which a run is not to go on."""

OF_RECORD = ROOT / "reports" / "of-record"
"""The report that is committed: its pages show no images of the data set."""
REPORT_MODULES = ("study", "parameters", "metrics", "results", "plots", "tables")
"""The modules of `lib` that the report depends on, beside `ladder.report`."""


class RunError(RuntimeError):
    """A notebook that did not do its job; the message says which and why."""


class _Lines:
    """A text stream that passes whole lines on, with a prefix, as they come."""

    def __init__(self, *, prefix: str, log):
        self.prefix, self.log, self.rest = prefix, log, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.log.write(line + "\n")
            self.log.flush()
            if line.strip():
                print(f"{self.prefix}{line.split(chr(13))[-1]}", flush=True)
        return len(text)

    def flush(self) -> None:
        self.log.flush()


class _Watch(threading.Thread):
    """Ends what papermill would wait for: a hung kernel, a run whose main job was killed.

    A kernel hangs if it uses less than a second of processor time for `IDLE_SECONDS`. A main
    job that is gone takes its process group with it: Snakemake and this run.

    Attributes:
        reason: why a kernel was killed, or None.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.idle_seconds = float(os.environ.get(IDLE, IDLE_SECONDS))
        self.parent = int(os.environ.get(PARENT, 0))
        self.over = threading.Event()
        self.reason: str | None = None

    def run(self) -> None:
        worked, since = 0.0, time.monotonic()
        while not self.over.wait(1):
            if self.parent and not _alive(self.parent):
                print("Stopped: the run_all.sh that this run belongs to is gone.", flush=True)
                os.killpg(0, signal.SIGTERM)
                return
            kernels = psutil.Process().children(recursive=True)
            now = sum(map(_processor_seconds, kernels))
            if abs(now - worked) >= 1:
                worked, since = now, time.monotonic()
            elif time.monotonic() - since > self.idle_seconds:
                self.reason = (
                    f"the notebook's kernel hung: it did no work for {self.idle_seconds:.0f} s "
                    "and was killed; run it again"
                )
                for kernel in kernels:
                    kernel.kill()
                return


def _alive(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _processor_seconds(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.Error:  # it has just ended
        return 0.0


def run(slug: str, *, profile: str, seed: int, dataset: str, out: Path) -> Path:
    """Runs a notebook and returns the path of its record.

    Args:
        slug: the notebook.
        profile: one of `parameters.PROFILES`.
        seed: its SEED.
        dataset: its DATASET.
        out: the report's folder.

    Raises:
        ParameterError: if the notebook cannot take these parameters.
        RunError: if the notebook fails, its kernel dies, or it leaves no sound record.
        OSError: if ``out`` cannot be written.
    """
    values = parameters.check(
        slug,
        parameters.of_profile(profile, slug)
        | {"PROFILE": profile, "SEED": seed, "DATASET": dataset},
    )
    parameters.fingerprint(slug, values, data="", weights=None)  # remembers the code as it is now
    name = results.name(slug, profile, seed)

    def finish(stage: Path) -> None:
        record = _sound_record(stage / "results" / f"{name}.json", slug, values)
        bundles = json.loads((stage / results.BUNDLES).read_text())
        (stage / results.BUNDLES).unlink()
        for part in sorted(path for path in stage.rglob("*") if path.is_file()):
            if part != record:
                _move(part, out / part.relative_to(stage))
        _move(record, out / "results" / record.name)
        checkpoints.remove(bundles)

    _execute(
        parameters.notebook_path(slug),
        values,
        name=name,
        out=out,
        finish=finish,
        **around(out / "notebooks" / f"{name}.html"),
    )
    return out / "results" / f"{name}.json"


def around(page: Path) -> dict:
    """Returns what is around the cells of a run's page, as `export.page` takes it.

    Args:
        page: ``<slug>-<profile>-seed<k>.html`` in the folder ``notebooks`` of a report.
    """
    slug, run = page.stem.split("-", 1)
    source = f"{page.stem}.ipynb"  # the executed copy
    if page.is_relative_to(ROOT):
        source = os.path.relpath(parameters.notebook_path(slug), page.parent)
    return {
        "links": (("All results", "../index.html"), ("Notebook", source)),
        "pages": f"-{run}.html",
        "show_data": page.parents[1] != OF_RECORD,
    }


def report(out: Path, *, profile: str = "", data: str = "", dataset: str = "auto") -> Path:
    """Writes the report of all records below ``out`` and returns its path.

    Args:
        out: the report's folder.
        profile: the profile whose records make the table; by default the commonest.
        data: digest of the data set whose records make the table; likewise.
        dataset: where its images are, for the pictures of them.
    """
    values = {"RECORDS": str(out), "RECORDS_PROFILE": profile, "RECORDS_DATA": data}
    values |= {"DATASET": dataset}
    values = parameters.check("report", values)
    mark = report_digest(out, profile=profile, data=data)

    def finish(stage: Path) -> None:
        everything = results.read_all(out)
        records = verdicts.same_conditions(everything, profile=profile, data=data)
        summary.write(out, records, verdicts.study_protocol(everything, records))
        pages.connect(out / "notebooks")
        page = stage / "notebooks" / "index.html"
        text = pages.without_dead_links(page.read_text(encoding="utf-8"), out)
        page.write_text(text, encoding="utf-8")
        _move(page, out / "index.html")

    _execute(
        parameters.notebook_path("report"),
        values,
        name="index",
        out=out,
        finish=finish,
        show_code=False,
        show_data=out != OF_RECORD,
        script="report.js",
        meta={"ladder-digest": mark},
    )
    return out / "index.html"


def report_digest(out: Path, *, profile: str, data: str) -> str:
    """Digest over all that a report depends on: records, predictions, the code that draws them."""
    import hashlib

    digest = hashlib.sha256(f"{profile} {data}".encode())
    code = [ROOT / "lib" / f"{module}.py" for module in REPORT_MODULES]
    report = (ROOT / "ladder" / "report").rglob("*.*")
    code += sorted(path for path in report if path.suffix != ".pyc")
    code += [ROOT / "notebooks" / "report.ipynb", ROOT / "notebooks" / "profiles" / "study.yaml"]
    code += [ROOT / "docs" / "study.md"]
    for path in code + sorted((out / "results").glob("[!.]*.[jn]*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _execute(
    notebook: Path,
    values: parameters.Values,
    *,
    name: str,
    out: Path,
    finish: Callable[[Path], None],
    **page,
) -> None:
    """Executes a notebook in a folder of its own and calls ``finish`` on it if all went well."""
    import nbformat
    import papermill

    running = out / ".running"
    for folder in (running, out / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    own = tempfile.TemporaryDirectory(dir=running, prefix=f"{name}-")
    with own as folder, _for_kernels(folder):
        stage = Path(folder)
        (stage / "notebooks").mkdir()
        executed = stage / "notebooks" / f"{name}.ipynb"
        with (out / "logs" / f"{name}.log").open("w", encoding="utf-8") as log:
            lines = _Lines(prefix=f"{name.split('-')[0]:<24}", log=log)
            watch = _Watch()
            watch.start()
            try:
                papermill.execute_notebook(
                    _literal(notebook),
                    _literal(executed),
                    parameters=values,
                    kernel_name="python3",
                    cwd=ROOT,
                    progress_bar=False,
                    stdout_file=lines,
                    stderr_file=log,
                    start_timeout=KERNEL_START_SECONDS,
                    execution_timeout=CELL_SECONDS,
                )
                content = _without_papermill(nbformat.read(executed, as_version=4))
                nbformat.write(content, executed)
                pages.page(content, executed.with_suffix(".html"), **page)
                finish(stage)
            except Exception as error:
                reason = watch.reason or _reason(error)
                log.write(f"{error}\nFAILED: {reason}\n")
                if executed.is_file():  # with the error in it, for who wants to see
                    _move(executed, out / "logs" / f"{name}.ipynb")
                raise RunError(f"{name}: {reason}") from error
            finally:
                watch.over.set()


@contextlib.contextmanager
def _for_kernels(stage: str) -> Iterator[None]:
    """Sets what a kernel started meanwhile inherits, and takes it back."""
    before = os.environ.copy()
    os.environ |= {"CIFAR10_LADDER_BATCH": "1", "CIFAR10_LADDER_ROOT": str(ROOT)}
    os.environ |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", results.STAGE: stage}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _literal(path: Path) -> str:
    """Writes a path so that papermill, which formats it, leaves it as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _without_papermill(notebook):
    """Takes papermill's metadata out: it names paths and times of this machine."""
    for part in (notebook, *notebook.cells):
        part.metadata.pop("papermill", None)
    return notebook


def _reason(error: Exception) -> str:
    """Returns the one line that says why a run failed."""
    if hasattr(error, "ename"):  # papermill's: the error that the notebook raised
        text = str(error.evalue).strip() or error.ename
        plain = (
            "DataError",
            "UnknownDatasetError",
            "WeightsError",
            "ParameterError",
            "RecordError",
            "TrainingError",
            "ValueError",
            "OSError",
        )
        return text.splitlines()[0] if error.ename in plain else f"{error.ename}: {text}"
    if type(error).__name__ == "DeadKernelError":
        return "the notebook's kernel died; the usual cause is too little memory"
    return " ".join(str(error).split()) or type(error).__name__


def _sound_record(path: Path, slug: str, values: parameters.Values) -> Path:
    """Checks that the record in a run's own folder is what this run was asked for."""
    if not path.is_file():
        raise RunError("the notebook ended without a record; its last cell must write one")
    record = results.read(path)
    weights = record["weights"] and record["weights"]["sha256"]
    data = record["dataset"]["sha256"]
    if record["fingerprint"] != parameters.fingerprint(slug, values, data=data, weights=weights):
        raise RunError("the notebook or its modules changed while it ran; run it again")
    return path


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def main(arguments: list[str] | None = None) -> int:
    """Runs one notebook from the command line; returns the exit code."""
    description = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m ladder.run", description=description)
    parser.add_argument("notebook", help="e.g. 00_base_cnn, or report")
    parser.add_argument("--profile", default="", help=", ".join(parameters.PROFILES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--data-digest", default="", help="report: digest of the data set")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "latest")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = options.out.resolve()
    try:
        if options.notebook == "report":
            report(
                out,
                profile=options.profile,
                data=options.data_digest,
                dataset=options.dataset,
            )
        else:
            run(
                options.notebook,
                profile=options.profile or "quick",
                seed=options.seed,
                dataset=options.dataset,
                out=out,
            )
    except (ParameterError, RunError, OSError) as error:
        print(f"FAILED {error}", flush=True)
        return 2 if isinstance(error, ParameterError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
