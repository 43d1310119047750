"""Compile, fit and evaluate: what all notebooks do alike, as the study did it."""

import math
import os
import time
from dataclasses import dataclass

import numpy as np

from lib import checkpoint, inputs, models
from lib.data import PARTS, Dataset
from lib.engine import keras

EPSILON = 1e-7
"""Probabilities are clipped here before the logarithm, as Keras' cross-entropy does."""


HEAD_LEARNING_RATE = 1e-3
"""Adam's rate while only the head learns."""


class TrainingError(RuntimeError):
    """A training that failed; the message says how and what to change."""


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


class EarlyStopping(keras.callbacks.Callback):
    """Stops as the study's two callbacks did in the Keras of 2023 (docs/study.md D7).

    ``val_loss`` and ``val_accuracy`` are watched side by side. The first to go ``patience``
    epochs without improvement stops the run and restores *its* best weights; if both do
    in the same epoch, ``val_accuracy`` wins. When all epochs run, nothing is restored.
    With a patience of 0 nothing is watched.

    Attributes:
        best_epoch: epoch, from 1, whose weights the model has at the end.
        stopped_by: ``"val_loss"``, ``"val_accuracy"`` or ``"epochs"``.
        best: best value so far and its epoch, by monitor.
        weights: the model's weights after those epochs, by epoch.
    """

    MONITORS = (("val_loss", -1.0), ("val_accuracy", 1.0))

    def __init__(self, patience: int):
        super().__init__()
        self.patience = patience
        self.best: dict[str, tuple[float, int]] = {}
        self.weights: dict[int, list[np.ndarray]] = {}
        self.best_epoch = 0
        self.stopped_by = "epochs"

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        self.best_epoch = now = epoch + 1
        if not self.patience:
            return
        for monitor, sign in self.MONITORS:
            best, _ = self.best.get(monitor, (-sign * math.inf, 0))
            if sign * logs[monitor] > sign * best:
                self.best[monitor] = (float(logs[monitor]), now)
                self.weights[now] = self.weights.get(now) or self.model.get_weights()
        epochs = {monitor: epoch for monitor, (_, epoch) in self.best.items()}
        self.weights = {epoch: self.weights[epoch] for epoch in set(epochs.values())}
        ended = [m for m, _ in self.MONITORS if now - epochs.get(m, 0) >= self.patience]
        if ended:
            self.stopped_by = ended[-1]
            self.best_epoch = epochs[self.stopped_by]
            self.model.set_weights(self.weights[self.best_epoch])
            self.model.stop_training = True


class Progress(keras.callbacks.Callback):
    """Watches a training: history, epoch lines in batch runs, an end at the first NaN."""

    def __init__(self, epochs: int, *, lines: bool):
        super().__init__()
        self.epochs, self.lines = epochs, lines
        self.began = time.perf_counter()
        self.history: dict[str, list[float]] = {"epoch": []}

    def seconds(self) -> float:
        """Returns how long the training has taken, parts before an interruption included."""
        return time.perf_counter() - self.began

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        rate = {"learning_rate": self.model.optimizer.learning_rate}
        self.history["epoch"].append(epoch + 1)
        for name, value in (logs | rate).items():
            self.history.setdefault(name, []).append(float(value))
        if self.lines:
            seconds = self.seconds()
            left = seconds / (epoch + 1) * (self.epochs - epoch - 1)
            print(
                f"epoch {epoch + 1}/{self.epochs}  loss {logs['loss']:.3f}  "
                f"accuracy {logs['accuracy']:.3f}  val_loss {logs['val_loss']:.3f}  "
                f"val_accuracy {logs['val_accuracy']:.3f}  "
                f"{clock(seconds)} so far, at most {clock(left)} left",
                flush=True,
            )
        if not all(math.isfinite(value) for value in logs.values()):
            raise TrainingError(
                f"the loss is not a number in epoch {epoch + 1}: the training diverged; "
                "lower LEARNING_RATE or set CLIPNORM"
            )


class Checkpoints(keras.callbacks.Callback):
    """Keeps a training's state in its bundle, so that it goes on after a kill, bit for bit.

    It must be the last callback. What Dropout draws is derived from (seed, epoch, step)
    here, as Keras' own state of it is not among a model's weights.

    Args:
        bundle: where the state lies, see `lib.checkpoint`.
        progress, stopping: the other callbacks, whose state is kept too.
        seed: of the training.
        steps_per_epoch: of the training.

    Attributes:
        epoch: epochs that are done.
        step: steps that are done of the epoch under way.
        finished: whether the bundle holds the state after all epochs.
    """

    def __init__(
        self,
        bundle: checkpoint.Bundle,
        progress: Progress,
        stopping: EarlyStopping,
        *,
        seed: int,
        steps_per_epoch: int,
    ):
        super().__init__()
        self.bundle, self.progress, self.stopping = bundle, progress, stopping
        self.seed, self.steps_per_epoch = seed, steps_per_epoch
        self.epoch = self.step = 0
        self.finished = False
        self.saved = time.monotonic()
        self.arrays: dict[str, list[np.ndarray]] = {}

    def resume(self, model: keras.Model) -> None:
        """Takes over what the bundle holds; the optimizer's and metrics' share follows later."""
        found = self.bundle.load()
        if not found:
            return
        facts, self.arrays = found
        self.epoch, self.step, self.finished = facts["epoch"], facts["step"], facts["finished"]
        self.progress.history = facts["history"]
        self.progress.began -= facts["seconds"]
        self.stopping.best = {name: tuple(best) for name, best in facts["best"].items()}
        self.stopping.best_epoch, self.stopping.stopped_by = facts["chosen"]
        self.stopping.weights = {
            epoch: self.arrays.pop(f"best {epoch}")
            for epoch in {epoch for _, epoch in self.stopping.best.values()}
        }
        _assign(model.weights, self.arrays.pop("model"))
        where = f"epoch {self.epoch + 1}, step {self.step + 1}"
        print(
            f"An interrupted training goes on "
            f"{'with its evaluation' if self.finished else f'at {where}'}; "
            f"{clock(facts['seconds'])} of it are kept.",
            flush=True,
        )

    def resume_optimizer(self, model: keras.Model) -> None:
        """Puts the optimizer into its saved state, where it is that of this stage."""
        _assign(model.optimizer.variables, self.arrays.pop("optimizer", []))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        _assign(self.model.metrics_variables, self.arrays.pop("metrics", []))
        draws = (v for v in self.model.variables if v.name == "seed_generator_state")
        for index, state in enumerate(draws):
            derived = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)
            state.assign((int(derived[0]), self.step))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step += 1
        if self.step < self.steps_per_epoch and self._due(checkpoint.STEP_SECONDS):
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.step = epoch + 1, 0
        if self._due(checkpoint.EPOCH_SECONDS) and not self.model.stop_training:
            self.save()

    def finish(self, model: keras.Model) -> None:
        """Keeps the state after all epochs, where training it again would take long."""
        self.finished = True
        if self.progress.seconds() >= checkpoint.seconds_between(checkpoint.EPOCH_SECONDS):
            self.set_model(model)
            self.save()

    def _due(self, seconds: float) -> bool:
        return time.monotonic() - self.saved >= checkpoint.seconds_between(seconds)

    def save(self) -> None:
        """Writes the bundle."""
        groups = {
            "model": self.model.weights,
            "optimizer": self.model.optimizer.variables,
            "metrics": self.model.metrics_variables if self.step else [],
        }
        arrays = {name: [v.numpy() for v in group] for name, group in groups.items()}
        arrays |= {f"best {epoch}": values for epoch, values in self.stopping.weights.items()}
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "finished": self.finished,
            "history": self.progress.history,
            "seconds": self.progress.seconds(),
            "best": self.stopping.best,
            "chosen": (self.stopping.best_epoch, self.stopping.stopped_by),
        }
        self.bundle.save(facts, arrays)
        self.saved = time.monotonic()


def _assign(variables: list, values: list[np.ndarray]) -> None:
    """Sets variables, where there are values for them."""
    for variable, value in zip(variables, values, strict=bool(values)):
        variable.assign(value)


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
        optimizer=keras.optimizers.Adam(learning_rate, clipnorm=clipnorm or None),
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

    Raises:
        TrainingError: if the loss is not a number, or the model has been trained before.
        ValueError: if an argument is out of range.
    """
    for name, value, least in (
        ("EPOCHS", epochs, 1),
        ("BATCH_SIZE", batch_size, 1),
        ("PATIENCE", patience, 0),
        ("HEAD_EPOCHS", head_epochs, 0),
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
    }
    content = [v.numpy() for v in model.weights]
    content += [getattr(images, f"{axis}_{part}") for part in ("train", "val") for axis in "xy"]
    bundle = checkpoint.Bundle(checkpoint.fingerprint(settings, model.to_json(), content))
    progress = Progress(head_epochs + epochs, lines=in_batch_run())
    stopping = EarlyStopping(patience)
    keeper = Checkpoints(
        bundle,
        progress,
        stopping,
        seed=seed,
        steps_per_epoch=math.ceil(len(images.x_train) / batch_size),
    )
    keeper.resume(model)
    model.began_to_learn = True
    stages = [(0, head_epochs, HEAD_LEARNING_RATE, [progress, keeper])] if head_epochs else []
    stages += [(head_epochs, head_epochs + epochs, learning_rate, [progress, stopping, keeper])]
    base = [layer for layer in model.layers if layer.name.startswith("block")]
    operations = 0
    for stage, (first, end, rate, callbacks) in enumerate(stages, start=1):
        if head_epochs:
            for layer in base:
                layer.trainable = stage == len(stages)
        if not keeper.finished and keeper.epoch < end:
            _run_stage(
                model,
                images,
                first=first,
                end=end,
                callbacks=callbacks,
                batch_size=batch_size,
                augmented=augmented,
                seed=seed,
                learning_rate=rate,
                clipnorm=clipnorm,
                schedule=schedule,
            )
        ran = min(keeper.epoch, end) - first
        operations += ran * len(images.x_train) * models.training_macs(model)
    if not keeper.finished:
        keeper.finish(model)
    bundle.end()
    return Fit(
        history=progress.history,
        best_epoch=stopping.best_epoch,
        stopped_by=stopping.stopped_by,
        images_seen=keeper.epoch * len(images.x_train),
        operations=operations,
        seconds=progress.seconds(),
    )


def _run_stage(
    model: keras.Model,
    images: Dataset,
    *,
    first: int,
    end: int,
    callbacks: list[keras.callbacks.Callback],
    batch_size: int,
    augmented: bool,
    seed: int,
    **rate,
) -> None:
    """Compiles (what is trainable may have changed) and trains from epoch ``first`` to ``end``."""
    keeper = callbacks[-1]
    image_size = model.input_shape[1]
    steps = keeper.steps_per_epoch * (end - first)
    compile(model, warmup_steps=steps // 10, steps=steps, **rate)
    if keeper.epoch > first or keeper.step:
        keeper.resume_optimizer(model)
    while keeper.epoch < end and not model.stop_training:
        # An epoch that was interrupted is ended first, with the steps that it still has.
        until = keeper.epoch + 1 if keeper.step else end
        model.fit(
            inputs.training_batches(
                images.x_train,
                images.y_train,
                batch_size=batch_size,
                image_size=image_size,
                augmented=augmented,
                seed=seed,
                first_step=keeper.epoch * keeper.steps_per_epoch + keeper.step,
            ),
            initial_epoch=keeper.epoch,
            epochs=until,
            steps_per_epoch=keeper.steps_per_epoch - keeper.step,
            validation_data=inputs.evaluation_batches(
                images.x_val, images.y_val, image_size=image_size
            ),
            callbacks=callbacks,
            shuffle=False,  # the stream is
            verbose=0 if in_batch_run() else "auto",
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
    metrics = {}
    for part in PARTS:
        x, y = getattr(images, f"x_{part}"), getattr(images, f"y_{part}")
        probabilities = predict(model, x)
        metrics[part] = score(probabilities, y)
    share = np.bincount(images.y_test).max() / len(images.y_test)
    margin = 2 * math.sqrt(share * (1 - share) / len(images.y_test))
    return Evaluation(
        metrics=metrics,
        probabilities=probabilities,
        at_chance=bool(metrics["test"]["accuracy"] <= share + margin),
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


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns top-1 accuracy (0 to 1) and plain cross-entropy (nats).

    Args:
        probabilities: shape (n, classes).
        labels: int, shape (n,).
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "loss": float(-np.log(np.clip(chosen, EPSILON, 1 - EPSILON)).mean()),
    }


def in_batch_run() -> bool:
    """Whether `lib.run` executes the notebook, rather than a person."""
    return os.environ.get("CIFAR10_LADDER_BATCH") == "1"


def clock(seconds: float) -> str:
    """Writes a duration as a person would: ``"8 s"``, ``"12 min"``, ``"3.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
