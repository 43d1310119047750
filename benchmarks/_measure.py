"""What the benchmarks share: turns, rows, trainings on noise."""

import ast
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np

from lib import cache, data, inputs, pretrained, training
from lib.data import cifar10
from lib.engine import keras, precision, tf
from lib.errors import ParameterError
from lib.results import machine, model_cell, parameters

PRECISIONS = ("float32", "bfloat16")

ROUNDS = 7


def by_turns(cases: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Calls all cases in turn, so that all see the same phases of the machine.

    Each case is called once more beforehand. Returns its results by name, one per round.
    """
    for case in cases.values():
        case()
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return found


def row(
    case: str,
    figures: list[float] | float,
    unit: str,
    *,
    target: float | None = None,
    better: str = "higher",
    required: bool = False,
) -> dict:
    """Makes one row of a result: the median, and the spread beside the unit."""
    if isinstance(figures, list):
        unit += f" ({min(figures):.3g} to {max(figures):.3g}, n = {len(figures)})"
        figures = statistics.median(figures)
    return {
        "case": case,
        "figure": figures,
        "unit": unit,
        "target": target,
        "better": better,
        "required": required,
    }


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Divides round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def matrix_product(dtype: str) -> Callable[[], float]:
    """Returns a case: FLOP/s of this machine's matrix product (2048 × 2048) in a precision."""
    size, count = 2048, 3
    a = tf.cast(tf.random.normal((size, size)), dtype)

    @tf.function
    def multiply():
        return tf.reduce_sum(tf.linalg.matmul(a, a))

    def speed() -> float:
        began = time.perf_counter()
        for _ in range(count):
            multiply().numpy()
        return 2 * size**3 * count / (time.perf_counter() - began)

    return speed


def noise(count: int, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 images (count, size, size, 3) and labels of ten classes."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8), np.arange(count) % 10


def dataset(train: int, val: int, test: int) -> data.Dataset:
    """Returns a data set of noise, of so many images in each part."""
    parts = {}
    for part, count in (("train", train), ("val", val), ("test", test)):
        parts[f"x_{part}"], parts[f"y_{part}"] = noise(count)
    return data.Dataset("noise", "noise", "", cifar10.CLASSES, **parts)


def build(slug: str, dtype: str = "float32") -> tuple[keras.Model, dict]:
    """Returns an experiment's network with random weights, and the values of its ``budget``.

    Args:
        slug: the experiment.
        dtype: precision of its training, one of `PRECISIONS`.
    """
    values = parameters.of_profile("budget", slug)
    precision.use(dtype)
    return model_cell.build(slug, **values), values


def recipe(values: dict, **changes) -> training.Recipe:
    """Returns the recipe that a notebook makes of its parameters, for all epochs.

    Args:
        values: the parameters.
        **changes: fields of the recipe that are to differ.
    """
    names = {f.name: f.name.upper() for f in fields(training.Recipe)} | {"augmented": "AUGMENT"}
    given = {name: values[key] for name, key in names.items() if key in values}
    return training.Recipe(**given | changes)


def of_batches(batch_size: int, *, augmented: bool) -> training.Recipe:
    """Returns a recipe of which only the batches matter."""
    return training.Recipe(
        epochs=1, batch_size=batch_size, learning_rate=1e-5, patience=0, seed=0, augmented=augmented
    )


def changes_of(texts: list[str]) -> parameters.Values:
    """Reads ``NAME=VALUE``; a value that is not a Python literal is text.

    Raises:
        ParameterError: if a text is nothing like it.
    """
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in ("DATASET", "PROFILE", "OUT"):
            raise ParameterError(f"{text}: expected NAME=VALUE of what the training depends on")
        try:
            changes[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[name] = value
    return changes


def prepared(slug: str, values: parameters.Values) -> tuple[str, data.Dataset, keras.Model]:
    """Returns precision, CIFAR-10 and network of a training, seeded as a notebook does it."""
    dtype = precision.resolved(values["PRECISION"])
    sizes = {f"{part}_size": values[f"{part.upper()}_SIZE"] for part in data.PARTS}
    images = data.load("cifar10", seed=values["SEED"], **sizes)
    training.seed(values["SEED"])
    precision.use(dtype)
    weights = pretrained.load(values["WEIGHTS"]) if "WEIGHTS" in values else None
    model = model_cell.build(slug, classes=len(images.classes), weights=weights, **values)
    return dtype, images, model


def line(slug: str, values: parameters.Values, dtype: str, **found) -> dict:
    """Returns what a file keeps of a training: values, precision, seed, what was found, machine."""
    about = machine.environment()
    return {
        "experiment": slug,
        "values": parameters.computed(values),
        "precision": dtype,
        "seed": values["SEED"],
        **found,
        **{name: about[name] for name in ("cpu", "cores", "gpus", "git", "date")},
    }


def add_line(path: Path, row: dict) -> None:
    """Adds a training to a file, which is sorted by experiment and has one line for each."""
    with cache.lock(path.stem), cache.atomic_file(path) as part:
        rows = sorted([*read_lines(path), row], key=lambda one: one["experiment"])
        lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in rows)
        part.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def read_lines(path: Path) -> list[dict]:
    """Returns all trainings of a file, by experiment; none without the file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def forget(fit: training.Fit) -> None:
    """Removes the checkpoints of a training, so that the next one does not resume from them."""
    for path in fit.checkpoints:
        path.unlink(missing_ok=True)


class Training:
    """A case: images/s of `model.fit`, which pauses after each turn and never ends on its own.

    So the seconds are those of training steps, not of calls to `fit`, and turns can be short.

    Args:
        model: compiled.
        batch_size: images per step.
        seconds: of a turn, about; at least one step.
        fit: arguments for `model.fit`; by default noise through our input pipeline.
        augmented: of that pipeline.
    """

    def __init__(
        self,
        model: keras.Model,
        batch_size: int,
        *,
        seconds: float = 0.5,
        fit: dict | None = None,
        augmented: bool = False,
    ):
        if fit is None:
            x, y = noise(batch_size * 8)
            size = model.input_shape[1]
            plan = of_batches(batch_size, augmented=augmented)
            fit = {"x": inputs.training_batches(x, y, plan, image_size=size), "shuffle": False}
            fit["steps_per_epoch"] = 1_000_000
        self.model, self.batch_size = model, batch_size
        self.pause = _Pause()
        self.thread = threading.Thread(
            target=lambda: model.fit(**fit, epochs=1_000_000, verbose=0, callbacks=[self.pause]),
            daemon=True,
        )
        self.thread.start()
        for _ in range(3):  # the first makes the graph
            speed = self()
        self.pause.steps = max(1, round(seconds * speed / batch_size))

    def __call__(self) -> float:
        began = time.perf_counter()
        self.pause.go.release()
        while not self.pause.done.acquire(timeout=1):
            if not self.thread.is_alive():
                raise RuntimeError("the training ended before its turn was over")
        return self.pause.steps * self.batch_size / (time.perf_counter() - began)

    def close(self) -> None:
        """Ends the training and waits until it has let go of its memory."""
        self.pause.over = True
        self.pause.go.release()
        self.thread.join()


def ours(slug: str, dtype: str = "float32") -> Training:
    """Returns a case: an experiment's training as the project does it, at `budget`'s batch size."""
    model, values = build(slug, dtype)
    training.compile(model, learning_rate=1e-5, clipnorm=values.get("CLIPNORM", 0.0))
    return Training(model, values["BATCH_SIZE"], augmented=values.get("AUGMENT", False))


class _Pause(keras.callbacks.Callback):
    """Lets a training make some steps at a time."""

    def __init__(self):
        super().__init__()
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.steps, self.made, self.over = 1, 0, False

    def on_train_begin(self, logs=None):
        self.go.acquire()

    def on_train_batch_end(self, batch, logs=None):
        self.made += 1
        if self.made == self.steps:
            self.made = 0
            self.done.release()
            self.go.acquire()
        if self.over:
            self.model.stop_training = True


@contextmanager
def closing(**cases: Callable) -> Iterator[dict[str, Callable]]:
    """Ends the trainings among the cases when they are no longer needed."""
    try:
        yield cases
    finally:
        for case in cases.values():
            if isinstance(case, Training):
                case.close()
