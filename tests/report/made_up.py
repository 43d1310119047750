"""Made-up runs, for tests of the report: `python -m tests.report.made_up DIR` writes a folder.

Records and predictions are drawn at random around the published accuracies. Nothing was trained.
"""

import json
import sys
from dataclasses import is_dataclass, replace
from pathlib import Path

import numpy as np

from lib import metrics
from lib.data import cifar10
from lib.metrics import Score
from lib.results.record import (
    SCHEMA,
    DatasetFacts,
    ModelFacts,
    Record,
    TrainingFacts,
    run_name,
)
from lib.study import EXPERIMENTS, Experiment, experiment

VARIANT = "made-up figures"
DATASET = DatasetFacts(
    name="cifar10",
    variant=cifar10.CANONICAL,
    sha256="a" * 64,
    train=40_000,
    val=10_000,
    test=10_000,
    classes=list(cifar10.CLASSES),
)
ENVIRONMENT = {
    "python": "3.11.7",
    "tensorflow": "2.21.0",
    "keras": "3.15.1",
    "opencv": "5.0.0",
    "numpy": "2.4.6",
    "platform": "Linux x86_64",
    "cpu": "a processor",
    "gpus": [],
    "cores": 2,
    "git": "938a193",
}


def record(
    slug: str = "00_base_cnn",
    accuracy: float = 0.63,
    *,
    seed: int = 0,
    profile: str = "study",
    **changes,
) -> Record:
    """Returns a record of an experiment of the study, with ``changes`` as `changed` takes them."""
    e = experiment(slug)
    made = Record(
        schema=SCHEMA,
        experiment=slug,
        seed=seed,
        profile=profile,
        fingerprint="0" * 64,
        status="complete",
        dataset=DATASET,
        parameters={},
        weights=None,
        timing={
            "total_seconds": 100.0,
            "train_seconds": 60.0,
            "evaluation_seconds": 5.0,
            "train_images_per_second": 1000.0,
        },
        memory={"peak_rss_mb": 900.0},
        environment=ENVIRONMENT,
        model=ModelFacts(e.total_params, e.trainable_params, forward_macs=10**6),
        training=TrainingFacts(
            images_seen=80_000,
            operations=10**12,
            best_epoch=2,
            stopped_by="epochs",
            at_chance=False,
        ),
        metrics={"train": Score(0.7, 0.9), "val": Score(0.6, 1.1), "test": Score(accuracy, 1.1)},
        history={
            "epoch": [1, 2],
            "loss": [2.3 + 0.01 * seed, 1.2],
            "accuracy": [0.4, 0.5],
            "val_loss": [1.4, 1.2],
            "val_accuracy": [0.5, 0.6],
            "learning_rate": [1e-3, 1e-3],
        },
    )
    return changed(made, **changes)


def companion(slug: str = "freezing_depth", **changes) -> Record:
    """Returns a record of a companion notebook."""
    made = record(profile="quick", dataset={"test": 1_000})
    own = {"title": "Depth", "summary": "It matters.", "tables": {}, "timing": {"total_seconds": 9}}
    nothing = {"model": None, "training": None, "metrics": {}, "history": {}}
    return changed(replace(made, experiment=slug, **(own | nothing)), **changes)


def changed(record: Record, **changes) -> Record:
    """Returns a record with other values; a dictionary changes only the entries it names."""
    for name, value in changes.items():
        before = getattr(record, name)
        if isinstance(value, dict) and is_dataclass(before):
            changes[name] = replace(before, **value)
        elif isinstance(value, dict) and before:
            changes[name] = before | value
    return replace(record, **changes)


def write(
    out: Path,
    *,
    profiles: dict[str, dict[int, int]] | None = None,
    name: str = "cifar10",
    classes: tuple[str, ...] = cifar10.CLASSES,
    test: int = 10_000,
) -> None:
    """Writes sound records with predictions beside them, and pages, which are empty.

    Args:
        out: the report's folder.
        profiles: how many seeds each experiment has, by profile; by default the run of record's.
        name: of the data set.
        classes: names of its classes.
        test: test images.
    """
    if profiles is None:
        profiles = {
            "budget": {n: 3 if n in (0, 1, 2, 3, 4, 5, 7, 9) else 1 for n in range(11)},
            "study": dict.fromkeys(range(6), 1),
        }
    for folder in ("results", "notebooks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    labels = np.arange(test) % len(classes)
    hardness = rng.normal(size=test)
    for profile, seeds in profiles.items():
        for e in EXPERIMENTS:
            for seed in range(seeds.get(e.number, 0)):
                accuracy = e.accuracy + rng.normal(0, 0.003)
                probabilities = _predictions(rng, labels, hardness, len(classes), accuracy)
                made = _drawn(rng, e, profile, seed, probabilities, labels, name, classes)
                run = run_name(e.slug, profile, seed)
                (out / "notebooks" / f"{run}.html").touch()
                path = out / "results" / f"{run}.json"
                np.savez_compressed(
                    path.with_suffix(".npz"), probabilities=probabilities, labels=labels
                )
                path.write_text(json.dumps(made.to_json()), encoding="utf-8")


def _predictions(rng, labels, hardness, classes: int, accuracy: float) -> np.ndarray:
    """Draws float32 probabilities (n, classes); what is hard for one run is hard for all."""
    difficulty = hardness + rng.normal(0, 0.7, len(labels))
    right = difficulty <= np.quantile(difficulty, accuracy)
    wrong = (labels + 1 + rng.integers(0, 2, len(labels))) % classes
    named = np.where(right, labels, wrong)
    logits = rng.normal(0, 1, (len(labels), classes))
    logits[np.arange(len(labels)), named] = logits.max(axis=1) + rng.gamma(2, 1, len(labels))
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _drawn(rng, e: Experiment, profile, seed, probabilities, labels, name, classes) -> Record:
    epochs = 12 if profile == "budget" else 25
    rising = 1 - np.exp(-np.arange(1, epochs + 1) / 3)
    score = metrics.score(probabilities, labels)
    train = Score(min(0.99, score.accuracy + 0.08), score.loss * 0.6)
    overfits = np.maximum(0, np.arange(epochs) - 12) * 0.02
    history = {
        "loss": 2.3 - (2.3 - train.loss) * rising,
        "accuracy": train.accuracy * rising,
        "val_loss": 2.3 - (2.3 - score.loss) * rising + overfits,
        "val_accuracy": score.accuracy * rising + rng.normal(0, 0.004, epochs),
        "learning_rate": np.full(epochs, 1e-3),
    }
    images = 50_000 if name == "cifar10" else 5 * len(labels)
    macs = {True: 313e6, False: 20e6}[e.number >= 6] * (4 if e.number == 10 else 1)
    return record(
        e.slug,
        seed=seed,
        profile=profile,
        dataset={
            "name": name,
            "variant": VARIANT,
            "sha256": "d" * 64,
            "train": images * 4 // 5,
            "val": images // 5,
            "test": len(labels),
            "classes": list(classes),
        },
        parameters={"PROFILE": profile, "DATASET": name, "SEED": seed},
        weights={"source": VARIANT, "sha256": "w" * 64} if e.number >= 7 else None,
        timing={"train_seconds": e.train_seconds},
        model={"forward_macs": int(macs)},
        training={
            "images_seen": epochs * images * 4 // 5,
            "operations": int(3 * macs * epochs * images * 4 / 5),
            "best_epoch": epochs if profile == "budget" else 13,
            "stopped_by": "epochs" if profile == "budget" else "val_loss",
        },
        metrics={"train": train, "val": score, "test": score},
        history={
            "epoch": list(range(1, epochs + 1)),
            **{key: [float(value) for value in values] for key, values in history.items()},
        },
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
