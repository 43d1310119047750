"""Accuracy, operations and time of `budget` and of `study`, from records.

Reads the run of record (`reports/of-record`), or else the last run (`reports/latest`). Records of
different precisions are separate cases. Training operations are counted in epochs of the
experiment's own network, as `study` trains it. An epoch in which only the head learns, or features
are computed, counts for less. `study` stops early.
"""

import statistics

from benchmarks._measure import row
from lib import ROOT, models, study
from lib.results import model_cell, record
from lib.results.record import Record
from lib.study import EXPERIMENTS, SLUGS

AGAINST_STUDY = dict.fromkeys(SLUGS[:5], 0.5) | {SLUGS[5]: 1.0}
# Epochs of the experiment's own network that the published accuracy may take.
EPOCHS = {"06_vgg16_scratch": 12, "08_vgg16_finetuned": 4, "09_mini_vgg16": 4, "10_vgg16_64x64": 3}


def measure() -> list[dict]:
    """Returns epochs, operations, seconds and accuracy of every experiment that has a record."""
    folders = (ROOT / "reports" / name for name in ("of-record", "latest"))
    folder = next((folder for folder in folders if record.paths(folder)), None)
    if folder is None:
        raise SystemExit(
            "no records in reports/of-record or reports/latest: run ./run_all.sh --profile budget "
            "and ./run_all.sh --profile study first"
        )
    records = record.read_all(folder)
    rows = []
    for experiment in EXPERIMENTS:
        found = {
            profile: [r for r in records if (r.experiment, r.profile) == (experiment.slug, profile)]
            for profile in ("budget", "study")
        }
        for profile, some in found.items():
            for dtype in sorted({r.training.precision for r in some}):
                alike = [r for r in some if r.training.precision == dtype]
                rows += _rows(experiment, f"{profile}, {dtype}", alike)
        if all(found.values()):
            epochs = [statistics.median(map(_epochs, some)) for some in found.values()]
            rows.append(
                row(
                    f"{experiment.slug}: budget against study",
                    epochs[0] / epochs[1],
                    "of the training operations",
                    target=AGAINST_STUDY.get(experiment.slug),
                    better="lower",
                )
            )
    return rows


def _epochs(found: Record) -> float:
    """Returns a record's training operations in epochs of its own network."""
    size = {k: v for k, v in found.parameters.items() if k == "IMAGE_SIZE"}
    network = model_cell.build(found.experiment, classes=len(found.dataset.classes), **size)
    return found.training.operations / (found.dataset.train * models.training_macs(network))


def _rows(experiment: study.Experiment, kind: str, records: list[Record]) -> list[dict]:
    case = f"{experiment.slug}, {kind}"
    timed = [r for r in records if not r.environment["gpus"]]  # several ran on the GPU at a time
    budget = kind.startswith("budget")
    rows = [
        row(
            f"{case}: test accuracy",
            [100 * r.metrics["test"].accuracy for r in records],
            "%",
            target=100 * experiment.accuracy if budget else None,
        ),
        row(
            f"{case}: training operations",
            [_epochs(r) for r in records],
            "epochs",
            target=EPOCHS.get(experiment.slug) if budget else None,
            better="lower",
        ),
    ]
    if timed:
        minutes = [r.timing["train_seconds"] / 60 for r in timed]
        machines = " and ".join(sorted({r.machine for r in timed}))
        rows.append(row(f"{case}: training", minutes, f"minutes on {machines}", better="lower"))
    return rows
