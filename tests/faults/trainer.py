"""A short training in a process of its own, to be killed: ``python trainer.py RECORD [SLUG]``.

It has all that a resumed training must get right: Dropout, BatchNormalization, augmentation, a
head trained first, early stopping with two monitors, a learning rate that falls.
"""

import json
import sys
from pathlib import Path

import numpy as np

from lib import cache, checkpoint, data, models, training


def main(target: Path, slug: str = "04_batch_norm", seed: int = 0) -> None:
    training.start(seed)
    images = data.load("digits", seed=seed, train_size=320, val_size=60, test_size=60)
    model = models.build(slug)
    print("ready", flush=True)
    fit = training.fit(
        model,
        images,
        epochs=6,
        batch_size=64,
        learning_rate=2e-3,
        schedule="linear",
        patience=3,
        seed=seed,
        augmented=True,
        head_epochs=1,
    )
    evaluation = training.evaluate(model, images)
    record = {
        "history": fit.history,
        "best_epoch": fit.best_epoch,
        "stopped_by": fit.stopped_by,
        "images_seen": fit.images_seen,
        "operations": fit.operations,
        "metrics": evaluation.metrics,
        "probabilities": evaluation.probabilities.astype(np.float64).tolist(),
        "weights": [float(np.abs(w).astype(np.float64).sum()) for w in model.get_weights()],
    }
    with cache.atomic_file(target) as part:
        part.write_text(json.dumps(record))
    checkpoint.remove(checkpoint.finished())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
