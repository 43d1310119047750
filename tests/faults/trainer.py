"""A short training in a process of its own, to be killed: ``python trainer.py RECORD [RATE]``.

TRAINER_PRECISION is the precision, float32 by default.

It has all that a resumed training must get right: Dropout, BatchNormalization, augmentation, a
head trained first, early stopping with two monitors, a learning rate that falls.
"""

import hashlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from lib import cache, data, training
from lib.engine import keras, precision

layers = keras.layers


def network() -> keras.Model:
    """A network small enough to be made in a second; its first block is a base as VGG16's."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="block1_conv1")(inputs)
    x = layers.BatchNormalization(name="block1_norm", momentum=0.8)(x)
    x = layers.Dropout(0.2)(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.2)(layers.Dense(32, activation="relu")(layers.Flatten()(x)))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def main(target: Path, learning_rate: float = 1e-2) -> None:
    """Trains, evaluates and writes what came out, exactly."""
    precision.use(os.environ.get("TRAINER_PRECISION", "float32"))
    training.seed(0)
    images = data.load("digits", train_size=320, val_size=60, test_size=60)
    model = network()
    print("ready", flush=True)
    recipe = training.Recipe(
        epochs=12,
        batch_size=32,
        learning_rate=learning_rate,
        schedule="linear",
        patience=2,
        seed=0,
        augmented=True,
        head_epochs=1,
    )
    fit = training.fit(model, images, recipe)
    print("trained", flush=True)
    evaluation = training.evaluate(model, images)
    record = {
        "history": fit.history,
        "best_epoch": fit.best_epoch,
        "stopped_by": fit.stopped_by,
        "images_seen": fit.images_seen,
        "operations": fit.operations,
        "metrics": {part: asdict(score) for part, score in evaluation.metrics.items()},
        "probabilities": hashlib.sha256(evaluation.probabilities.tobytes()).hexdigest(),
        "weights": [hashlib.sha256(w.tobytes()).hexdigest() for w in model.get_weights()],
    }
    with cache.atomic_file(target) as part:
        part.write_text(json.dumps(record))
    for path in fit.checkpoints:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(float, sys.argv[2:3]))
