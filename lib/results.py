"""The record of a run: what it measured and under which conditions, as one JSON file."""

import hashlib
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lib import BEGAN, ROOT, cache, checkpoint, metrics, parameters
from lib.data import PARTS

SCHEMA = 1
STAGE = "CIFAR10_LADDER_STAGE"
"""Environment variable: the folder in which `ladder.run` collects a run's files before it moves
them to OUT. It is not a parameter, so that no page shows it."""
BUNDLES = "bundles.json"
"""File in that folder: marks of the trainings whose bundles end with the run."""


COMMON_FIELDS = {
    "schema": int,
    "experiment": str,
    "seed": int,
    "profile": str,
    "fingerprint": str,
    "status": str,
    "dataset": dict,
    "parameters": dict,
    "weights": dict | None,
    "timing": dict,
    "memory": dict,
    "environment": dict,
    "digest": str,
}
NEVER_REPEATS = ("timing", "memory", "environment")
"""Fields in which two equal runs differ; the digest leaves them out."""

FIELDS = COMMON_FIELDS | {"model": dict, "training": dict, "metrics": dict, "history": dict}
COMPANION_FIELDS = COMMON_FIELDS | {"title": str, "summary": str, "tables": dict}


class RecordError(ValueError):
    """A file that is not a usable record; the message names it and says what to do."""


def name(slug: str, profile: str, seed: int) -> str:
    """Returns the name that a run's record, predictions and page share."""
    return f"{slug}-{profile}-seed{seed}"


def name_of(record: dict) -> str:
    """Returns the `name` of a record's run.

    By hand, the profile in it is followed by a mark of the run's values and data, so that a trial
    of others stands beside it, and the same again in its place.
    """
    profile = record["profile"]
    if profile == "custom":
        tried = [parameters.asked(record["parameters"]), record["dataset"]["sha256"]]
        mark = hashlib.sha256(json.dumps(tried, sort_keys=True).encode()).hexdigest()[:6]
        profile = f"custom-{mark}"
    return name(record["experiment"], profile, record["seed"])


def write(
    slug: str,
    values: parameters.Values,
    *,
    images,
    model,
    fit,
    evaluation,
    weights=None,
) -> Path:
    """Writes a finished run: the model, the test predictions, then, last, the record.

    Args:
        slug: the notebook.
        values: its parameters, as `parameters.in_notebook` returned them.
        images: `lib.data.Dataset`.
        model: the trained Keras model.
        fit: `lib.training.Fit`.
        evaluation: `lib.training.Evaluation`.
        weights: `lib.pretrained.Weights`, where the run started from them.

    Returns:
        The path of the record, ``<OUT>/results/<slug>-<profile>-seed<k>.json``. The
        probabilities (float32, n × classes) and labels of the test images lie beside it
        as ``.npz``, the model in ``<OUT>/models`` in Keras' format. If the parameters are not
        those of PROFILE, the profile is "custom" with a mark (`name_of`).

    Raises:
        OSError: if the folder cannot be written; nothing is left half written.
    """
    from lib import models
    from lib.engine import fast_layers

    record, folder = _begin(slug, values, images=images, weights=weights)
    record |= {
        "model": {
            "total_params": model.count_params(),
            "trainable_params": models.trainable_params(model),
            "forward_macs": models.forward_macs(model),
        },
        "training": {
            "images_seen": fit.images_seen,
            "operations": fit.operations,
            "best_epoch": fit.best_epoch,
            "stopped_by": fit.stopped_by,
            "at_chance": evaluation.at_chance,
        },
        "metrics": evaluation.metrics,
        "history": fit.history,
    }
    record["timing"] |= {
        "train_seconds": round(fit.seconds, 3),
        "evaluation_seconds": round(evaluation.seconds, 3),
        "train_images_per_second": round(fit.images_seen / fit.seconds, 1),
    }
    run = name_of(record)
    with cache.atomic_file(folder / "models" / f"{run}.keras") as part:
        fast_layers.as_keras(model).save(part)
    with cache.atomic_file(folder / "results" / f"{run}.npz") as part:
        np.savez_compressed(part, probabilities=evaluation.probabilities, labels=images.y_test)
    return _finish(record, folder)


def write_companion(
    slug: str,
    values: parameters.Values,
    *,
    images,
    title: str,
    summary: str,
    tables: dict[str, list[dict]],
    weights=None,
) -> Path:
    """Writes what a companion notebook found.

    Args:
        slug: the notebook.
        values: its parameters, as `parameters.in_notebook` returned them.
        images: `lib.data.Dataset`.
        title: of the notebook.
        summary: its last paragraph, "what we saw".
        tables: rows by name of the table; a row is column: figure. Columns that end in
            "seconds" go to the record's ``timing``, as they never repeat.
        weights: `lib.pretrained.Weights`, where they were used.

    Returns:
        The path of the record, as `write`.

    Raises:
        OSError: if the folder cannot be written; nothing is left half written.
    """
    record, folder = _begin(slug, values, images=images, weights=weights)
    kept = {}
    for table, rows in tables.items():
        kept[table] = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]
        timed = [{k: v for k, v in row.items() if k.endswith("seconds")} for row in rows]
        if any(timed):
            record["timing"][table] = timed
    return _finish(record | {"title": title, "summary": summary, "tables": kept}, folder)


def _begin(slug: str, values: parameters.Values, *, images, weights) -> tuple[dict, Path]:
    """Returns the fields that all records have, and the folder to write to."""
    profile = values["PROFILE"]
    if parameters.asked(values) != parameters.asked(parameters.of_profile(profile, slug)):
        profile = "custom"
    used = weights.describe() if weights else None
    record = {
        "schema": SCHEMA,
        "experiment": slug,
        "seed": values["SEED"],
        "profile": profile,
        "fingerprint": parameters.fingerprint(
            slug, values, data=images.sha256, weights=used and used["sha256"]
        ),
        "status": "complete",
        "dataset": images.describe(),
        "parameters": _without_paths(values, dataset=images.name),
        "weights": used,
        "timing": {"total_seconds": round(time.perf_counter() - BEGAN, 3)},
        "memory": {"peak_rss_mb": peak_rss_mb()},
        "environment": environment(),
    }
    return record, ROOT / os.environ.get(STAGE, values["OUT"])


def _finish(record: dict, folder: Path) -> Path:
    """Signs a record with its digest and writes it, whole or not at all."""
    record |= {"digest": digest(record)}
    path = folder / "results" / f"{name_of(record)}.json"
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    with cache.atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")
    bundles = checkpoint.finished()
    if STAGE in os.environ:  # the record is not yet where it belongs
        (folder / BUNDLES).write_text(json.dumps(bundles))
    else:
        checkpoint.remove(bundles)
    return path


def digest(record: dict) -> str:
    """SHA-256 over a record as canonical JSON, without the digest itself and `NEVER_REPEATS`."""
    lasting = {k: v for k, v in record.items() if k not in ("digest", *NEVER_REPEATS)}
    text = json.dumps(lasting, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def trained_model(out: Path, run: str):
    """Loads the model of a run of the ladder.

    Args:
        out: the report's folder.
        run: name of the run, e.g. ``"05_data_augmentation-quick-seed0"``.

    Returns:
        The run's record, and its Keras model, not compiled.

    Raises:
        RecordError: if that folder has no such record or model, or it cannot be read.
    """
    from lib.engine import keras

    path = out / "models" / f"{run}.keras"
    if not path.is_file():
        there = sorted(path.stem for path in (out / "models").glob("[!.]*.keras"))
        raise RecordError(
            f"RUN = {run!r}: no model of that run lies in {out.name}/models; expected one of "
            f"{', '.join(there) or 'none yet: run ./run_all.sh first'}"
        )
    record = read(out / "results" / f"{run}.json")
    try:
        return record, keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras', zip's and HDF5's
        raise RecordError(
            f"{path.name} is damaged or holds code, which is not run; delete it and run again"
        ) from error


def _without_paths(values: parameters.Values, *, dataset: str) -> parameters.Values:
    """Returns all parameters but OUT; of a path only the last part."""
    shown = {key: value for key, value in values.items() if key != "OUT"} | {"DATASET": dataset}
    return shown | {key: Path(values[key]).name for key in parameters.PATHS if key in values}


def read(path: Path) -> dict:
    """Reads a record and checks its form, its digest, and the predictions beside it.

    Raises:
        RecordError: if the file is no complete record of this schema, was changed, or has
            predictions that cannot be read or give other test figures.
    """
    where = _where(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordError(f"{where} is not readable ({reason}); delete it and run again") from error
    companion = isinstance(record, dict) and "tables" in record
    for field, kind in (COMPANION_FIELDS if companion else FIELDS).items():
        if not isinstance(record, dict) or field not in record:
            raise RecordError(f"{where} lacks {field!r}; delete it and run again")
        if not isinstance(record[field], kind):
            raise RecordError(
                f"{where}: {field!r} is {record[field]!r}, expected {kind}; delete it and run again"
            )
    if record["schema"] != SCHEMA or record["status"] != "complete":
        raise RecordError(
            f"{where} has schema {record['schema']} and status {record['status']!r}, expected "
            f"{SCHEMA} and 'complete'; delete it and run again"
        )
    for part in () if companion else PARTS:
        found = record["metrics"].get(part, {})
        if not (0 <= found.get("accuracy", -1) <= 1 and math.isfinite(found.get("loss", math.nan))):
            raise RecordError(f"{where}: metrics of {part!r} are {found}; delete it and run again")
    if record["digest"] != digest(record):
        raise RecordError(f"{where} was changed after it was written; delete it and run again")
    # A record whose predictions are not there is still a record: its digest vouches for it.
    if not companion and path.with_suffix(".npz").is_file():
        _check_predictions(path, record)
    return record


def _check_predictions(path: Path, record: dict) -> None:
    """Checks that the predictions beside a record give the record's test figures."""
    stored = path.with_suffix(".npz")
    try:
        with np.load(stored, allow_pickle=False) as content:
            measured = metrics.score(content["probabilities"], content["labels"])
    except Exception as error:  # zip, header, shape and index errors, all of them the file's
        raise RecordError(
            f"{_where(stored)} holds no predictions ({type(error).__name__}); delete it and its "
            "record and run again"
        ) from error
    expected = record["metrics"]["test"]
    # Another processor may sum to another last bit.
    if not all(math.isclose(measured[k], expected[k], rel_tol=1e-9) for k in measured):
        raise RecordError(
            f"{_where(path)} says {_figures(expected)} on the test images, but the predictions "
            f"beside it give {_figures(measured)}; delete both and run again"
        )


def predictions(out: Path, record: dict) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns what lies beside a sound record: probabilities (n, classes) and labels (n,).

    None where there is no such file.
    """
    path = out / "results" / f"{name_of(record)}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as content:
        return content["probabilities"], content["labels"]


def _figures(measured: dict[str, float]) -> str:
    return f"accuracy {measured['accuracy']:.4f} and cross-entropy {measured['loss']:.4f}"


def _where(path: Path) -> str:
    """Names a file by its folder and name, as messages may stand on a page."""
    return f"{path.parent.name}/{path.name}"


def paths(out: Path) -> list[Path]:
    """Returns the paths of what should be records below a report's folder, by name."""
    return sorted((out / "results").glob("[!.]*.json"))  # not what a kill in mid-write left


def read_all(out: Path) -> list[dict]:
    """Reads all records below a report's folder, by name; an unusable one is named and left out."""
    records = []
    for path in paths(out):
        try:
            records.append(read(path))
        except RecordError as error:
            print(f"Left out: {error}")
    return records


def peak_rss_mb() -> float:
    """Returns the peak resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def environment() -> dict:
    """Returns versions and machine, without names or paths of their own."""
    import cv2

    from lib.engine import keras, tf

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "gpus": gpus(),
        "cores": os.cpu_count(),
        "git": _git(),
    }


def gpus() -> list[str]:
    """Returns the names of the GPUs that TensorFlow can use."""
    from lib.engine import tf

    details = tf.config.experimental.get_device_details
    found = tf.config.list_physical_devices("GPU")
    return [str(details(gpu).get("device_name", gpu.name)) for gpu in found]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git() -> str | None:
    """Returns the commit, with ``-dirty`` if anything but reports differs from it.

    None if the project is no checkout, even if it lies in another one.
    """
    try:
        if Path(_said("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return None
        commit = _said("describe", "--always", "--exclude=*")
        changed = _said("status", "--porcelain", "--untracked-files=no", "--", ".", ":!reports")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + "-dirty" * bool(changed)


def _said(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
