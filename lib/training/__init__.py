"""Compile, fit and evaluate: what all notebooks do alike, as the study did it."""

import math
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from lib import inputs, metrics, models
from lib.data import PARTS, Dataset
from lib.engine import fast_layers, keras
from lib.errors import ParameterError, TrainingError
from lib.metrics import Score
from lib.training import checkpoints, display, feeds
from lib.training.callbacks import EarlyStopping, Lookahead, Progress, SaveCheckpoints

HEAD_LEARNING_RATE = 1e-3
"""Adam's rate while only the head learns."""


def seed(value: int) -> None:
    """Forgets earlier models and seeds everything. Call before a network is built."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()  # which would forget the policy too
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(value)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Attributes:
        epochs: at most.
        batch_size: images per step.
        learning_rate: Adam's rate, or the peak of the schedule.
        patience: epochs without improvement before `EarlyStopping` acts; 0 for never.
        seed: order and augmentation derive from it.
        clipnorm: bound on the norm of each variable's gradient, 0 for none.
        schedule: ``"constant"``; ``"linear"``: a tenth of warm-up, then linear decay to zero;
            ``"triangular"``: from a fifth of the rate to all of it at 23 % of the steps, then to
            7 % at the end (arXiv 2404.00498).
        augmented: whether training images are augmented (`lib.inputs`).
        augmentation: how: ``"study"``, ``"random flip"`` or ``"alternating flip"``. The last two
            also shift by up to `inputs.PIXELS`. The alternating one mirrors each image in every
            other epoch (arXiv 2404.00498).
        optimizer: ``"adam"``, or ``"sgd"`` with Nesterov momentum, to which the next three apply.
        momentum: share of the last step that is added to the next.
        weight_decay: times the rate, it is subtracted from each weight's unit in each step.
        bias_rate: factor on the rate of BatchNormalization's ``beta``.
        label_smoothing: share of the probability that the training loss spreads evenly over all
            classes. All losses of validation and test images are without it.
        lookahead: whether `callbacks.Lookahead` averages the weights.
        head_epochs: epochs, before all others, in which only the head learns, at
            `HEAD_LEARNING_RATE` (head first, then all layers: arXiv 2202.10054). The head is all
            that follows the first Flatten or global pooling.
        views: 0 trains through all layers. Otherwise the frozen layers, all up to the head, work
            only once, for so many augmentations of each training image, and the epochs take these
            in turns.

    Raises:
        ParameterError: if a value is out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    seed: int
    clipnorm: float = 0.0
    schedule: str = "constant"
    augmented: bool = False
    head_epochs: int = 0
    views: int = 0
    augmentation: str = "study"
    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    bias_rate: float = 1.0
    label_smoothing: float = 0.0
    lookahead: bool = False

    def __post_init__(self):
        at_least = {"epochs": 1, "batch_size": 1, "patience": 0, "head_epochs": 0, "views": 0}
        rates = {"learning_rate": "such as 0.001", "clipnorm": "such as 1.0, or 0 for none"}
        rates["bias_rate"] = "such as 1.0"
        for name in (*at_least, *rates):
            value, least = getattr(self, name), at_least.get(name)
            number = isinstance(value, Real if least is None else Integral)
            number = number and not isinstance(value, bool)
            if least is not None:
                good, expected = number and value >= least, f"a whole number, {least} or more"
            else:  # float32 has no more
                good = number and (1e-38 <= value <= 1e38 or (name == "clipnorm" and value == 0))
                expected = f"a positive number {rates[name]}"
            if not good:
                raise ParameterError(f"{name.upper()} = {value!r}: expected {expected}")
            object.__setattr__(self, name, int(value) if name in at_least else float(value))
        for name, most in (("momentum", 1), ("label_smoothing", 1), ("weight_decay", 1e38)):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= value < most):
                raise ParameterError(
                    f"{name.upper()} = {value!r}: expected a number from 0 to below {most:g}"
                )
            object.__setattr__(self, name, float(value))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ParameterError(
                    f"{name.upper()} = {getattr(self, name)!r}: expected "
                    f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
                )
        if self.views and self.augmentation != "study":
            raise ParameterError(f"VIEWS = {self.views}: only with AUGMENTATION = 'study'")


CHOICES = {
    "schedule": ("constant", "linear", "triangular"),
    "augmentation": inputs.KINDS,
    "optimizer": ("adam", "sgd"),
}
"""Values of a recipe's words."""
COMPILED = ("clipnorm", "schedule", "optimizer", "label_smoothing")
OF_SGD = ("momentum", "weight_decay", "bias_rate")
"""What `compile` takes of each recipe, and of one with SGD."""


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises to its peak in ``warmup`` steps and falls until ``steps``.

    Args:
        peak: the highest rate.
        warmup, steps: see above.
        start, end: shares of the peak at the beginning and at the end.
    """

    def __init__(self, peak: float, warmup: int, steps: int, start: float = 0.0, end: float = 0.0):
        self.peak, self.warmup, self.steps, self.start, self.end = peak, warmup, steps, start, end

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rising = self.start + (1 - self.start) * ((step + 1) / max(self.warmup, 1))
        falling = (self.steps - step) / max(self.steps - self.warmup, 1)
        falling = self.end + (1 - self.end) * falling
        return self.peak * keras.ops.clip(keras.ops.minimum(rising, falling), 0, 1)

    def get_config(self) -> dict:
        return {name: getattr(self, name) for name in ("peak", "warmup", "steps", "start", "end")}


class SGD(keras.optimizers.SGD):
    """Keras' SGD with a rate of its own for the biases (``beta``) of BatchNormalization.

    Args:
        bias_rate: factor on their rate.
    """

    def __init__(self, learning_rate, bias_rate: float = 1.0, **options):
        super().__init__(learning_rate, **options)
        self.bias_rate = bias_rate

    def update_step(self, gradient, variable, learning_rate):
        name = self._trainable_variables[self._get_variable_index(variable)].name
        factor = self.bias_rate if name == "beta" else 1.0
        super().update_step(gradient, variable, learning_rate * factor)


@dataclass(frozen=True)
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
        checkpoints: files that can be removed once the run is recorded.
    """

    history: dict[str, list[float]]
    best_epoch: int
    stopped_by: str
    images_seen: int
    operations: int
    seconds: float
    checkpoints: tuple[Path, ...] = ()


def compile(
    model: keras.Model,
    *,
    learning_rate: float,
    clipnorm: float = 0.0,
    schedule: str = "constant",
    steps: int = 0,
    optimizer: str = "adam",
    label_smoothing: float = 0.0,
    **of_sgd: float,
) -> None:
    """Compiles with cross-entropy and, unless it is said otherwise, Adam, as the study does.

    Args:
        model: the model; changed in place. One sigmoid unit means two classes.
        learning_rate, clipnorm, schedule, optimizer, label_smoothing: see `Recipe`.
        steps: all steps of the training, for the schedules that are not constant.
        **of_sgd: ``momentum``, ``weight_decay`` and ``bias_rate``.
    """
    if schedule == "linear":
        learning_rate = LinearDecay(learning_rate, steps // 10, steps)
    elif schedule == "triangular":
        learning_rate = LinearDecay(learning_rate, round(0.23 * steps), steps, 0.2, 0.07)
    clipping = {"clipnorm": clipnorm or None}
    two_classes = model.output_shape[-1] == 1
    model.compile(
        optimizer=SGD(learning_rate, nesterov=True, **clipping, **of_sgd)
        if optimizer == "sgd"
        else fast_layers.Adam(learning_rate, **clipping),
        loss="binary_crossentropy" if two_classes else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # on a CPU slower for convolutions
    )
    # Otherwise optimizer and metrics make their variables inside the graph, which is then traced
    # twice: many seconds for deep networks.
    model.optimizer.build(model.trainable_variables)
    outputs = keras.ops.full((1, model.output_shape[-1]), 0.5)
    label = keras.ops.zeros((1, 1) if two_classes else (1,), dtype="int64")
    model.compute_loss(y=label, y_pred=outputs)
    model.compute_metrics(None, label, outputs)
    if label_smoothing:
        model.compute_loss = partial(_smoothed, model.compute_loss, label_smoothing)


def _smoothed(compute_loss, share, x=None, y=None, y_pred=None, sample_weight=None, training=True):
    """Adds to a model's loss, in training only, what smooth labels change."""
    loss = compute_loss(x, y, y_pred, sample_weight, training)
    if not training:
        return loss
    if y_pred.shape[-1] == 1:
        y_pred = keras.ops.concatenate([1 - y_pred, y_pred], axis=-1)
    y = keras.ops.one_hot(keras.ops.reshape(y, (-1,)), y_pred.shape[-1])
    smooth, plain = (
        keras.losses.categorical_crossentropy(y, y_pred, label_smoothing=each)
        for each in (share, 0.0)
    )
    return loss + keras.ops.mean(smooth - plain)


@dataclass(frozen=True)
class Stage:
    """A part of a training with a learning rate and trainable layers of its own.

    Attributes:
        epochs, learning_rate: see `Recipe`.
        trainable: layers, and whether they learn.
        macs: multiply–adds of one image's training step.
    """

    epochs: int
    learning_rate: float
    trainable: tuple[tuple[keras.Layer, bool], ...]
    macs: int = 0

    def begin(self) -> None:
        """Freezes and unfreezes layers."""
        for layer, learns in self.trainable:
            layer.trainable = learns


def _stages(model: keras.Model, network: keras.Model, recipe: Recipe) -> list[Stage]:
    """Returns the parts of a training: the head alone, if wanted, then everything.

    Args:
        model: the whole model.
        network: the part of it that trains, see `feeds.Feed`.
        recipe: how it is trained.
    """
    base = []
    if recipe.head_epochs:
        base = models.base_layers(model, f"HEAD_EPOCHS = {recipe.head_epochs}")
    own = [layer.trainable for layer in base]
    stages = []
    for epochs, rate, trainable in (
        (recipe.head_epochs, HEAD_LEARNING_RATE, [False] * len(base)),
        (recipe.epochs, recipe.learning_rate, own),
    ):
        if epochs:
            stage = Stage(epochs, rate, tuple(zip(base, trainable, strict=True)))
            stage.begin()
            stages.append(replace(stage, macs=models.training_macs(network)))
    return stages


def fit(model: keras.Model, images: Dataset, recipe: Recipe) -> Fit:
    """Trains a model on the training part and watches the validation part.

    A training that was killed resumes from its last checkpoint (`lib.training.checkpoints`),
    by itself, and ends as if it had never been interrupted.

    Args:
        model: the model, not trained before. Sequential or functional.
        images: the data; its test part is not touched.
        recipe: how to train.

    Raises:
        ModelError: if the model cannot be trained on these images, or not by this recipe.
        TrainingError: if the loss is not a number, or the model has been trained before.
    """
    whole = models.checked(model, images)
    optimizer = getattr(model, "optimizer", None)  # not there before the first compile
    if optimizer is not None and int(optimizer.iterations) > 0:
        raise TrainingError(
            "this model has been trained already, wholly or in part: run the notebook from its "
            "first cell, so that the training starts from the seed"
        )
    whole = keras.Model(whole.inputs[0], whole.outputs[0])  # is compiled instead of the model
    checkpoint = checkpoints.of_training(whole, images, asdict(recipe))
    feed = feeds.of(whole, images, recipe)
    stages = _stages(whole, feed.network, recipe)
    macs = [stage.macs for stage in stages for _ in range(stage.epochs)]
    count, steps = len(images.y_train), math.ceil(len(images.y_train) / recipe.batch_size)
    checks = len(images.y_val) * models.forward_macs(feed.network)
    progress = Progress([count * each + checks for each in macs], steps, display.of_this_process())
    stopping = EarlyStopping(recipe.patience)
    lookahead = Lookahead(steps, steps * recipe.epochs)
    saver = SaveCheckpoints(
        *(checkpoint, progress, stopping, lookahead), seed=recipe.seed, steps_per_epoch=steps
    )
    saver.resume(feed.network)
    model.optimizer = keras.optimizers.SGD()  # has counted a step: the model is not trained again
    model.optimizer.iterations.assign(1)
    names = (*COMPILED, *(OF_SGD if recipe.optimizer == "sgd" else ()))
    first = 0
    for stage in stages:
        stage.begin()
        end = first + stage.epochs
        if not saver.finished and saver.epoch < end:
            compile(
                feed.network,
                learning_rate=stage.learning_rate,
                steps=steps * stage.epochs,
                **{name: getattr(recipe, name) for name in names},
            )
            watched = [*[lookahead] * recipe.lookahead, stopping] if stage is stages[-1] else []
            _run_epochs(feed, first, end, callbacks=[progress, *watched, saver])
        first = end
    saver.finish(feed.network)
    progress.display.end(stopping.how_it_ended(saver.epoch, len(macs)))
    return Fit(
        history=progress.history,
        best_epoch=stopping.best_epoch,
        stopped_by=stopping.stopped_by,
        images_seen=saver.epoch * count,
        operations=feed.operations + count * sum(macs[: saver.epoch]),
        seconds=feed.seconds + progress.seconds(),
        checkpoints=(*feed.checkpoints, checkpoint.path),
    )


def _run_epochs(feed: feeds.Feed, first: int, end: int, *, callbacks: list) -> None:
    """Trains the compiled network from epoch ``first`` to ``end``, or what is left of it."""
    network, saver = feed.network, callbacks[-1]
    if saver.epoch > first or saver.step:
        saver.resume_optimizer(network)
    while saver.epoch < end and not network.stop_training:
        # An epoch that was interrupted is ended first, with the steps that it still has.
        until = saver.epoch + 1 if saver.step else end
        network.fit(
            feed.train(saver.epoch * saver.steps_per_epoch + saver.step),
            initial_epoch=saver.epoch,
            epochs=until,
            steps_per_epoch=saver.steps_per_epoch - saver.step,
            validation_data=feed.val,
            callbacks=callbacks,
            shuffle=False,  # the stream is
            verbose=0,
        )


@dataclass(frozen=True)
class Evaluation:
    """A trained model on all three parts: inference mode, no augmentation, plain cross-entropy.

    Attributes:
        metrics: of ``train``, ``val`` and ``test``.
        probabilities: of the test images, float32, shape (n, classes).
        at_chance: whether the model has learned nothing: neither its test accuracy nor its
            balanced accuracy (`lib.metrics.recalls`) is above that of always naming the commonest
            class (by two standard errors).
        seconds: wall time.
    """

    metrics: dict[str, Score]
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
    counts = np.unique(y, return_counts=True)[1]  # of the test part, the last one
    share, chance = counts.max() / counts.sum(), 1 / len(counts)
    margin = 2 * math.sqrt(share * (1 - share) / counts.sum())
    # Beside a class of 95 % a network that knows the others may not be above that share.
    balanced = np.nanmean(metrics.recalls(probabilities, y))
    leeway = 2 * math.sqrt(chance * (1 - chance) * (1 / counts).sum()) / len(counts)
    return Evaluation(
        metrics=measured,
        probabilities=probabilities,
        at_chance=bool(measured["test"].accuracy <= share + margin and balanced <= chance + leeway),
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
