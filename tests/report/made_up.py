"""A report's folder of made-up runs, for tests of the report: `python -m tests.report.made_up DIR`.

Records and predictions are drawn at random around the published accuracies. Nothing was trained.
"""

import json
import sys
from pathlib import Path

import numpy as np

from lib import metrics, results
from lib.data import cifar10
from lib.study import EXPERIMENTS

VARIANT = "made-up figures"


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
        profiles: how many seeds each rung has, by profile; by default the run of record's.
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
                record = _record(rng, e, profile, seed, probabilities, labels, name, classes)
                run = results.name(e.slug, profile, seed)
                (out / "notebooks" / f"{run}.html").touch()
                path = out / "results" / f"{run}.json"
                np.savez_compressed(
                    path.with_suffix(".npz"), probabilities=probabilities, labels=labels
                )
                path.write_text(json.dumps(record), encoding="utf-8")


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


def _record(rng, e, profile, seed, probabilities, labels, name, classes) -> dict:
    epochs = 12 if profile == "budget" else 25
    rising = 1 - np.exp(-np.arange(1, epochs + 1) / 3)
    score = metrics.score(probabilities, labels)
    train = {"accuracy": min(0.99, score["accuracy"] + 0.08), "loss": score["loss"] * 0.6}
    overfits = np.maximum(0, np.arange(epochs) - 12) * 0.02
    history = {
        "epoch": list(range(1, epochs + 1)),
        "loss": list(2.3 - (2.3 - train["loss"]) * rising),
        "accuracy": list(train["accuracy"] * rising),
        "val_loss": list(2.3 - (2.3 - score["loss"]) * rising + overfits),
        "val_accuracy": list(score["accuracy"] * rising + rng.normal(0, 0.004, epochs)),
        "learning_rate": [1e-3] * epochs,
    }
    images = 50_000 if name == "cifar10" else 5 * len(labels)
    macs = {True: 313e6, False: 20e6}[e.number >= 6] * (4 if e.number == 10 else 1)
    record = {
        "schema": results.SCHEMA,
        "experiment": e.slug,
        "seed": seed,
        "profile": profile,
        "fingerprint": "0" * 64,
        "status": "complete",
        "dataset": {
            "name": name,
            "variant": VARIANT,
            "sha256": "d" * 64,
            "train": images * 4 // 5,
            "val": images // 5,
            "test": len(labels),
            "classes": list(classes),
        },
        "parameters": {"PROFILE": profile, "DATASET": name, "SEED": seed},
        "weights": {"source": VARIANT, "sha256": "w" * 64} if e.uses_imagenet else None,
        "timing": {
            "total_seconds": 100.0,
            "train_seconds": e.train_seconds,
            "evaluation_seconds": 5.0,
            "train_images_per_second": 1000.0,
        },
        "memory": {"peak_rss_mb": 900.0},
        "environment": results.environment(),
        "model": {
            "total_params": e.total_params,
            "trainable_params": e.trainable_params,
            "forward_macs": int(macs),
        },
        "training": {
            "images_seen": epochs * images * 4 // 5,
            "operations": int(3 * macs * epochs * images * 4 / 5),
            "best_epoch": epochs if profile == "budget" else 13,
            "stopped_by": "epochs" if profile == "budget" else "val_loss",
            "at_chance": False,
        },
        "metrics": {"train": train, "val": score, "test": score},
        "history": {key: [float(v) for v in values] for key, values in history.items()},
    }
    record["history"]["epoch"] = history["epoch"]
    return record | {"digest": results.digest(record)}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
