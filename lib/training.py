"""Compile, fit and evaluate: what all notebooks do alike, as the study did it."""

import math
import os
import time
from dataclasses import dataclass

import numpy as np

from lib import checkpoint, feeds, inputs, metrics, models
from lib.callbacks import Checkpoints, EarlyStopping, Progress, TrainingError
from lib.data import PARTS, Dataset
from lib.engine import fast_layers, keras

HEAD_LEARNING_RATE = 1e-3
"""Adam's rate while only the head learns."""


def start(seed: int) -> None:
    """Lets go of earlier models and seeds everything. Call before anything is built."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises to its peak in ``warmup`` steps and falls to zero at ``steps``."""

    def __init__(self, peak: float, warmup: int, steps: int):
        self.peak, self.warmup, self.steps = peak, warmup, steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rising = (step + 1) / max(self.warmup, 1)
        falling = (self.steps - step) / max(self.steps - self.warmup, 1)
        return self.peak * keras.ops.clip(keras.ops.minimum(rising, falling), 0, 1)

    def get_config(self) -> dict:
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


@dataclass
class Fit:
    """What a training left behind.

    Attributes:
        history: per epoch ``epoch`` (from 1), ``loss``, ``accuracy``, ``val_loss``,
            ``val_accuracy`` (losses in nats, accuracies 0 to 1) and ``learning_rate`` at its end.
        best_epoch: epoch, from 1, whose weights the model has.
        stopped_by: ``"val_loss"``, ``"val_accuracy"`` or ``"epochs"``.
        images_seen: training images, each counted once per epoch.
        operations: multiply–adds spent on them, forward and backward.
        seconds: wall time, validation included; of an interrupted training that of all parts
            that were kept.
    """

    history: dict[str, list[float]]
    best_epoch: int
    stopped_by: str
    images_seen: int
    operations: int
    seconds: float


def compile(
    model: keras.Model,
    *,
    learning_rate: float,
    clipnorm: float = 0.0,
    schedule: str = "constant",
    warmup_steps: int = 0,
    steps: int = 0,
) -> None:
    """Compiles with Adam and cross-entropy, the study's choice throughout.

    Args:
        model: the model; changed in place. One sigmoid unit means two classes.
        learning_rate: Adam's rate, or the peak of the schedule.
        clipnorm: bound on the norm of each variable's gradient (the study's ``clipnorm``,
            per variable), 0 for none.
        schedule: ``"constant"``, or ``"linear"``: warm-up, then linear decay to zero.
        warmup_steps: steps of warm-up, for ``"linear"``.
        steps: all steps of the training, for ``"linear"``.

    Raises:
        ValueError: if there is no such schedule.
    """
    if schedule not in ("constant", "linear"):
        raise ValueError(f"SCHEDULE = {schedule!r}: expected 'constant' or 'linear'")
    if schedule == "linear":
        learning_rate = LinearDecay(learning_rate, warmup_steps, steps)
    two_classes = model.output_shape[-1] == 1
    model.compile(
        optimizer=fast_layers.Adam(learning_rate, clipnorm=clipnorm or None),
        loss="binary_crossentropy" if two_classes else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # on a CPU slower for convolutions
    )
    # Otherwise optimizer and metrics make their variables inside the graph, which is then
    # traced twice, which costs deep networks many seconds.
    model.optimizer.build(model.trainable_variables)
    outputs = keras.ops.full((1, model.output_shape[-1]), 0.5)
    label = keras.ops.zeros((1, 1) if two_classes else (1,), dtype="int64")
    model.compute_loss(y=label, y_pred=outputs)
    model.compute_metrics(None, label, outputs)


def fit(
    model: keras.Model,
    images: Dataset,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    patience: int,
    seed: int,
    clipnorm: float = 0.0,
    schedule: str = "constant",
    augmented: bool = False,
    head_epochs: int = 0,
    views: int = 0,
) -> Fit:
    """Trains a model on the training part and watches the validation part.

    A training that was killed goes on from its last bundle (`lib.checkpoint`), without being
    asked, and ends as if it had never been interrupted.

    Args:
        model: the model, not trained before; compiled here.
        images: the data; its test part is not touched.
        epochs: at most.
        batch_size: images per step.
        learning_rate: see `compile`.
        patience: epochs without improvement before `EarlyStopping` acts; 0 for never.
        seed: order and augmentation derive from it.
        clipnorm: see `compile`.
        schedule: see `compile`; ``"linear"`` warms up for a tenth of the training.
        augmented: whether training images are augmented (`lib.inputs`).
        head_epochs: epochs, before all others, in which only the head learns, at
            `HEAD_LEARNING_RATE` (head first, then all layers: arXiv 2202.10054).
        views: 0 trains through all layers. Otherwise the frozen layers, all up to Flatten, work
            only once, for so many augmentations of each training image, and the epochs take
            these in turns.

    Raises:
        TrainingError: if the loss is not a number, or the model has been trained before.
        ValueError: if an argument is out of range, or ``views`` are asked for where layers
            before Flatten learn.
    """
    for name, value, least in (
        ("EPOCHS", epochs, 1),
        ("BATCH_SIZE", batch_size, 1),
        ("PATIENCE", patience, 0),
        ("HEAD_EPOCHS", head_epochs, 0),
        ("VIEWS", views, 0),
    ):
        if value < least:
            raise ValueError(f"{name} = {value}: expected at least {least}")
    if getattr(model, "began_to_learn", False):
        raise TrainingError(
            "this model has been trained already, wholly or in part: run the notebook from its "
            "first cell, so that the training starts from the seed"
        )
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patience": patience,
        "seed": seed,
        "clipnorm": clipnorm,
        "schedule": schedule,
        "augmented": augmented,
        "head_epochs": head_epochs,
        "views": views,
    }
    content = [v.numpy() for v in model.weights]
    content += [getattr(images, f"{axis}_{part}") for part in ("train", "val") for axis in "xy"]
    bundle = checkpoint.Bundle(checkpoint.fingerprint(settings, model.to_json(), content))
    feed = feeds.of(model, images, views, batch_size=batch_size, augmented=augmented, seed=seed)
    network = feed.network
    stages = [(head_epochs, HEAD_LEARNING_RATE)] if head_epochs else []
    stages.append((epochs, learning_rate))
    base = [layer for layer in model.layers if layer.name.startswith("block")]

    def begin(stage: int) -> None:
        if head_epochs:
            for layer in base:
                layer.trainable = stage == len(stages) - 1

    macs = []  # of each epoch, per image
    for stage, (length, _) in enumerate(stages):
        begin(stage)
        macs += [models.training_macs(network)] * length
    count, steps = len(images.y_train), math.ceil(len(images.y_train) / batch_size)
    checks = len(images.y_val) * models.forward_macs(network)
    progress = Progress([count * each + checks for each in macs], steps, lines=in_batch_run())
    stopping = EarlyStopping(patience)
    keeper = Checkpoints(bundle, progress, stopping, seed=seed, steps_per_epoch=steps)
    keeper.resume(network)
    model.began_to_learn = True
    first = 0
    for stage, (length, rate) in enumerate(stages):
        begin(stage)
        watched = [stopping] if stage == len(stages) - 1 else []
        end = first + length
        if not keeper.finished and keeper.epoch < end:
            compile(
                network,
                learning_rate=rate,
                clipnorm=clipnorm,
                schedule=schedule,
                warmup_steps=steps * length // 10,
                steps=steps * length,
            )
            _run_stage(feed, first, end, callbacks=[progress, *watched, keeper])
        first = end
    if not keeper.finished:
        keeper.finish(network)
    bundle.end()
    return Fit(
        history=progress.history,
        best_epoch=stopping.best_epoch,
        stopped_by=stopping.stopped_by,
        images_seen=keeper.epoch * count,
        operations=feed.operations + count * sum(macs[: keeper.epoch]),
        seconds=feed.seconds + progress.seconds(),
    )


def _run_stage(feed: feeds.Feed, first: int, end: int, *, callbacks: list) -> None:
    """Trains the compiled network from epoch ``first`` to ``end``, or what is left of it."""
    network, keeper = feed.network, callbacks[-1]
    if keeper.epoch > first or keeper.step:
        keeper.resume_optimizer(network)
    while keeper.epoch < end and not network.stop_training:
        # An epoch that was interrupted is ended first, with the steps that it still has.
        until = keeper.epoch + 1 if keeper.step else end
        network.fit(
            feed.train(keeper.epoch * keeper.steps_per_epoch + keeper.step),
            initial_epoch=keeper.epoch,
            epochs=until,
            steps_per_epoch=keeper.steps_per_epoch - keeper.step,
            validation_data=feed.val,
            callbacks=callbacks,
            shuffle=False,  # the stream is
            verbose=0,
        )


@dataclass
class Evaluation:
    """A trained model on all three parts: inference mode, no augmentation, plain cross-entropy.

    Attributes:
        metrics: ``train``, ``val`` and ``test``, each ``accuracy`` (0 to 1) and ``loss``
            (cross-entropy, nats).
        probabilities: of the test images, float32, shape (n, classes).
        at_chance: whether the model has learnt nothing: its test accuracy is not above
            that of always naming the commonest class (by two standard errors).
        seconds: wall time.
    """

    metrics: dict[str, dict[str, float]]
    probabilities: np.ndarray
    at_chance: bool
    seconds: float


def evaluate(model: keras.Model, images: Dataset) -> Evaluation:
    """Measures a model on all three parts. The test part is used here and nowhere else."""
    began = time.perf_counter()
    measured = {}
    for part in PARTS:
        x, y = getattr(images, f"x_{part}"), getattr(images, f"y_{part}")
        probabilities = predict(model, x)
        measured[part] = metrics.score(probabilities, y)
    share = np.bincount(images.y_test).max() / len(images.y_test)
    margin = 2 * math.sqrt(share * (1 - share) / len(images.y_test))
    return Evaluation(
        metrics=measured,
        probabilities=probabilities,
        at_chance=bool(measured["test"]["accuracy"] <= share + margin),
        seconds=time.perf_counter() - began,
    )


def predict(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Returns a model's outputs for images, in inference mode.

    Args:
        model: from float32 (n, h, w, 3) in [0, 1].
        x: uint8 images (n, any, any, 3); resized to the model's input.

    Returns:
        float32; one sigmoid unit becomes two columns of probabilities.
    """
    nothing = np.zeros(len(x), np.int64)
    batches = inputs.evaluation_batches(x, nothing, image_size=model.input_shape[1])
    return two_columns(model.predict(batches, verbose=0))


def two_columns(outputs: np.ndarray) -> np.ndarray:
    """Writes one sigmoid unit, (n, 1), as the probabilities of two classes, (n, 2)."""
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1:] == (1,) else outputs


def in_batch_run() -> bool:
    """Whether `ladder.run` executes the notebook, rather than a person."""
    return os.environ.get("CIFAR10_LADDER_BATCH") == "1"
