"""Runs one notebook, strictly: ``python -m ladder.run 00_base_cnn --profile quick --seed 0``.

Success is the record and exit code 0. The run works in a folder of its own inside
``<out>/.running``; record, predictions and page move into place only when all is done, the
record last. A run that fails or is interrupted leaves nothing but its log and the notebook with the
error in it.
"""

import argparse
import ast
import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat

from ladder import cluster, environment, reasons
from ladder.reasons import FAILED, RunError
from ladder.report import pages, summary, verdicts
from lib import ROOT, cache, digests, results, study
from lib.errors import ParameterError
from lib.results import fingerprint, parameters, record
from lib.results.record import Record

KERNEL_START_SECONDS = 300
CELL_SECONDS = 14 * 24 * 3600
NOTEBOOK_SECONDS = 12.0
"""Seconds of a notebook beside training and evaluation: start, figures, page."""
EXECUTED = "executed.ipynb"
"""File in a run's folder: the notebook as papermill leaves it."""

OF_RECORD = ROOT / "reports" / "of-record"
"""The report that is committed."""


OTHER_TITLE = """# Eleven experiments on other images

The experiments are those of a study of CIFAR-10 by Marina Ramiro Pareta (2023), from a network with
one convolution to VGG16 with ImageNet weights."""
"""Beginning of a report on other images than CIFAR-10."""


class _Lines:
    """A text stream that passes whole lines on, with a prefix, as they arrive."""

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

    def end(self) -> None:
        """Passes on what came after the last line break."""
        if self.rest:
            self.write("\n")


def _end() -> None:
    """Ends this run's process group."""
    print("Stopped: the run_all.sh that this run belongs to is gone.", flush=True)
    os.killpg(0, signal.SIGTERM)


def run(
    slug: str,
    *,
    profile: str,
    seed: int,
    dataset: str,
    out: Path,
    images: int = 0,
    values: parameters.Values | None = None,
    log: str = "",
) -> Path:
    """Runs a notebook and returns the path of its record.

    Args:
        slug: the notebook.
        profile: one of `parameters.PROFILES`.
        seed: its SEED.
        dataset: its DATASET.
        out: the report's folder.
        images: see `parameters.of_profile`.
        values: parameters that replace the profile's.
        log: name of its log, by default of the profile's run.

    Raises:
        ParameterError: if the notebook cannot take these parameters.
        RunError: if the notebook fails, its kernel dies, or it leaves no sound record.
        OSError: if ``out`` cannot be written.
    """
    values = parameters.of_profile(profile, slug, images=images) | (values or {})
    values = parameters.check(slug, values | {"PROFILE": profile, "SEED": seed, "DATASET": dataset})
    fingerprint.of_run(slug, values, data="", weights=None)  # remembers the code as it is now
    notebook, name = parameters.notebook_path(slug), log or record.run_name(slug, profile, seed)
    with (
        cluster.own_cores(out),
        _executed(notebook, values, name=name, out=out) as (stage, content),
    ):
        found = _sound_record(stage, slug, values)
        _hide_paths(content, values, found)
        page = stage / "notebooks" / f"{found.name}.html"
        page.parent.mkdir(exist_ok=True)
        nbformat.write(content, page.with_suffix(".ipynb"))
        source = page.with_suffix(".ipynb").name
        if out.is_relative_to(ROOT):
            source = os.path.relpath(notebook, out / "notebooks")
        pages.of_run(content, found, page, source=source)
        needless = json.loads((stage / results.CHECKPOINTS).read_text())
        (stage / results.CHECKPOINTS).unlink()
        (stage / EXECUTED).unlink()
        files = [path for path in stage.rglob("*") if path.is_file()]
        target = Path("results", f"{found.name}.json")
        for path in sorted(files, key=lambda path: path.relative_to(stage) == target):  # last
            _move(path, out / path.relative_to(stage))
        for checkpoint in needless:
            (cache.folder("checkpoints") / checkpoint).unlink(missing_ok=True)
    return out / target


def _hide_paths(content, values: parameters.Values, found: Record) -> None:
    """Replaces paths of this machine in an executed notebook's parameters by their last part."""
    paths = [n for n in ("DATASET", *parameters.PATHS) if os.path.isabs(values.get(n, ""))]
    lines = {name: f"{name} = {found.parameters[name]!r}" for name in paths}
    for cell in content.cells:
        if "injected-parameters" in cell.metadata.get("tags", ()):
            written = (lines.get(line.split(" = ")[0], line) for line in cell.source.splitlines())
            cell.source = "\n".join(written)


def _sound_record(stage: Path, slug: str, values: parameters.Values) -> Record:
    """Reads the record in a run's own folder, and checks that it is of this run."""
    found = record.paths(stage)
    if not found:
        raise RunError("the notebook ended without a record; its last cell must write one")
    if len(found) > 1:
        raise RunError(f"the notebook wrote {len(found)} records, expected one")
    written = record.read(found[0])
    architecture = written.model.architecture if written.model else ""
    expected = fingerprint.of_run(
        slug,
        values,
        data=written.dataset.sha256,
        weights=written.weights and written.weights["sha256"],
        architecture=architecture if study.is_other_network(slug, architecture) else "",
    )
    if written.fingerprint != expected:
        raise RunError("the notebook or its modules changed while it ran; run it again")
    return written


def report(out: Path, *, profile: str = "", data: str = "", dataset: str = "auto") -> Path:
    """Writes the report of all records below ``out`` and returns its path.

    Args:
        out: the report's folder.
        profile: the profile whose records make the table; by default the commonest.
        data: digest of the data set whose records make the table; likewise.
        dataset: where its images are, for the pictures of them.
    """
    values = {"RECORDS": str(out), "RECORDS_PROFILE": profile, "RECORDS_DATA": data}
    values = parameters.check("report", values | {"DATASET": dataset})
    digest = report_digest(out, profile=profile, data=data)
    notebook = parameters.notebook_path("report")
    with _executed(notebook, values, name="index", out=out) as (stage, content):
        everything = record.read_all(out)
        records = verdicts.same_conditions(everything, profile=profile, data=data)
        summary.write(out, records, verdicts.study_protocol(everything, records))
        if records and records[0].dataset.name != "cifar10":
            content.cells[0].source = OTHER_TITLE
        pages.page(
            content,
            stage / "index.html",
            script="report.js",
            footer=_footer(out),
            meta={"ladder-digest": digest},
        )
        _move(stage / "index.html", out / "index.html")
    return out / "index.html"


def _footer(out: Path) -> tuple[tuple[str, str], ...]:
    """Returns links from a report to its figures and, inside the project, to its documents."""
    links = [("Figures as CSV", "summary.csv"), ("Figures as Markdown", "summary.md")]
    if out.is_relative_to(ROOT):
        documents = {"Documentation": "README.md", "Citation": "CITATION.cff", "License": "LICENSE"}
        links += [(text, os.path.relpath(ROOT / file, out)) for text, file in documents.items()]
    return tuple(links)


def report_digest(out: Path, *, profile: str, data: str) -> str:
    """Returns the digest of all that a report depends on: records, predictions, its code."""
    notebook = parameters.notebook_path("report")
    cells = parameters.working_trees(notebook)
    modules = {module for cell in cells for module in fingerprint.imported_by(cell)}
    code = {fingerprint.path_of(module) for module in fingerprint.closure(*modules)}
    templates = ROOT / "ladder" / "report" / "templates"
    code |= {*(ROOT / "lib").glob("*.j2"), *templates.rglob("*.*")}
    code |= {notebook, ROOT / "notebooks" / "profiles" / "study.yaml", ROOT / "docs" / "study.md"}
    files = sorted(code) + sorted((out / "results").glob("[!.]*.[jn]*"))
    with contextlib.redirect_stdout(
        io.StringIO()
    ):  # the report names the records that are unusable
        old = [one.name for one in verdicts.of_other_code(record.read_all(out))]
    return digests.of_json(
        [profile, data, old, *([path.name, digests.of_file(path)] for path in files)]
    )


@contextlib.contextmanager
def _executed(
    notebook: Path, values: parameters.Values, *, name: str, out: Path
) -> Iterator[tuple[Path, object]]:
    """Executes a notebook in a folder of its own; gives that folder and the executed notebook.

    Raises:
        RunError: if the notebook, or the block, fails; the log says why.
    """
    import papermill

    for folder in (out / ".running", out / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    job = os.environ.get("SLURM_JOB_ID", cluster.LOCAL)
    if job != cluster.LOCAL:  # what it left when Slurm stopped it to start it again
        for left in (out / ".running").glob(f"{name}-{job}-*"):
            shutil.rmtree(left, ignore_errors=True)
    cluster.once_gone(cluster.PARENT, _end)  # a kernel's environment lacks it
    own = tempfile.TemporaryDirectory(dir=out / ".running", prefix=f"{name}-{job}-")
    log = reasons.log(out, name)
    log.unlink(missing_ok=True)  # all who write into it append
    log = log.open("a", encoding="utf-8", errors="replace")
    with own as folder, log, _stderr_in(log), _for_kernels(folder):
        executed = Path(folder, EXECUTED)
        lines = _Lines(prefix=f"{name.split('-')[0]:<24}", log=log)
        ran = False
        try:
            papermill.execute_notebook(
                _literal(notebook),
                _literal(executed),
                parameters=values,
                kernel_name="python3",
                kernel_manager_class=_kernel_manager(),
                cwd=ROOT,
                progress_bar=False,
                stdout_file=lines,
                stderr_file=log,
                start_timeout=KERNEL_START_SECONDS,
                execution_timeout=CELL_SECONDS,
                shutdown_kernel="immediate",  # all is written; an exit takes 1 to 2 s
            )
            ran = True
            yield Path(folder), _without_papermill(nbformat.read(executed, as_version=4))
        except Exception as error:
            with contextlib.suppress(OSError):  # a full disk; `main` tries again
                lines.end()
                log.flush()
            reason = reasons.of_notebook(error, executed, log=reasons.read(out, name), ran=ran)
            with contextlib.suppress(OSError):
                reasons.write(reason, out, name, error)
            if executed.is_file():  # with the error in it, for those who want to see it
                _move(executed, out / "logs" / f"{name}.ipynb")
            raise RunError(f"{name}: {reason}") from error


@contextlib.contextmanager
def _stderr_in(log) -> Iterator[None]:
    """Sends to a file what this process and its kernels write to the error stream meanwhile."""
    before = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)


@contextlib.contextmanager
def _for_kernels(stage: str) -> Iterator[None]:
    """Sets the environment of a kernel that is started meanwhile, and takes it back."""
    before = os.environ.copy()
    own = environment.of_children(CIFAR10_LADDER_BATCH="1", **{results.STAGE: stage})
    os.environ.clear()
    os.environ.update(own)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _kernel_manager() -> type:
    """Returns what starts this Python as kernel, whatever kernels the reader has installed."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    class OwnKernel(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _none_installed(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[])

    return OwnKernel


def _literal(path: Path) -> str:
    """Writes a path so that papermill, which formats it, leaves it as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _without_papermill(notebook):
    """Removes papermill's metadata, which holds paths and times of this machine."""
    for part in (notebook, *notebook.cells):
        part.metadata.pop("papermill", None)
    return notebook


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _settings(texts: list[str]) -> parameters.Values:
    """Reads ``NAME=VALUE``; a value that is not a Python literal is text.

    Raises:
        ParameterError: if it has another form, or the parameter has an option of its own.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in ("PROFILE", "SEED", "DATASET", "OUT"):
            raise ParameterError(
                f"--set {text}: expected NAME=VALUE of a parameter without an option of its own"
            )
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values


def main(arguments: list[str] | None = None) -> int:
    """Runs one notebook from the command line; returns the exit code."""
    description = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m ladder.run", description=description)
    parser.add_argument("notebook", help="e.g. 00_base_cnn, or report")
    parser.add_argument("--profile", default="", help=", ".join(parameters.PROFILES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of a parameter")
    parser.add_argument("--images", type=int, default=0, help="for training and validation")
    parser.add_argument("--data-digest", default="", help="report: digest of the data set")
    parser.add_argument("--out", type=cache.expanded, default=ROOT / "reports" / "latest")
    parser.add_argument("--log", default="", help="name of the log")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out, shared = options.out.resolve(), {"dataset": options.dataset}
    profile = options.profile or "quick"
    name = options.log or record.run_name(options.notebook, profile, options.seed)
    try:
        if options.notebook == "report":
            name = "index"
            if options.set:
                raise ParameterError("--set is for the other notebooks: leave it out")
            report(out, profile=options.profile, data=options.data_digest, **shared)
        else:
            shared |= {"seed": options.seed, "images": options.images}
            shared |= {"values": _settings(options.set), "log": options.log}
            run(options.notebook, profile=profile, out=out, **shared)
    except Exception as error:
        reason = reasons.of(error)
        print(f"{FAILED}{reason}", flush=True)
        try:
            reasons.write(reason.removeprefix(f"{name}: "), out, name, error)
        except OSError:
            print(f"{FAILED}{reason}", file=sys.stderr, flush=True)  # the main job keeps it
        return 2 if isinstance(error, ParameterError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
