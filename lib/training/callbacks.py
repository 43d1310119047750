"""Callbacks of a training: early stopping, progress, and the checkpoints it can resume from."""

import math
import time

import numpy as np

from lib import clock
from lib.engine import keras
from lib.errors import TrainingError
from lib.training import checkpoints
from lib.training.display import Lines


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

    def how_it_ended(self, epoch: int, epochs: int) -> str:
        """Says why the training ended and which weights the model has.

        Args:
            epoch: the last one that ran, from 1.
            epochs: all that might have run.
        """
        if self.stopped_by == "epochs":
            ran = f"All {epochs} epochs" if epochs > 1 else "The epoch"
            return f"{ran} ran. The weights of the last one are used."
        monitor = self.stopped_by.replace("val_", "validation ")
        return (
            f"Stopped early after epoch {epoch} of {epochs}: {monitor} had not improved for "
            f"{self.patience} epochs. The weights of epoch {self.best_epoch} are used."
        )


class Lookahead(keras.callbacks.Callback):
    """Averages the weights while they train, and trains on from the average (arXiv 2404.00498).

    Every five steps the average keeps a share of itself, which rises from 0 to 0.95⁵ with the cube
    of the training's progress, and takes the rest from the weights (Lookahead: arXiv 1907.08610).
    Both are then the same. An epoch is validated with the average.

    Args:
        steps: of an epoch.
        all_steps: of the training.

    Attributes:
        average: of each of the model's weights; empty before the first step.
    """

    EVERY = 5

    def __init__(self, steps: int, all_steps: int):
        super().__init__()
        self.steps, self.all_steps = steps, all_steps
        self.average: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step = int(self.model.optimizer.iterations)
        if step % self.EVERY == 0 or not self.average:
            share = 0.95**self.EVERY * (step / self.all_steps) ** 3
            now = self.model.get_weights()
            pairs = zip(self.average or now, now, strict=True)
            self.average = [old + np.float32(1 - share) * (new - old) for old, new in pairs]
            self.model.set_weights(self.average)
        elif step % self.steps == 0:
            self.model.set_weights(self.average)


class Progress(keras.callbacks.Callback):
    """Watches a training: history, where it is and how long it still takes, an end at NaN.

    Args:
        costs: multiply–adds of each epoch, validation included; the time left follows from them.
        steps: steps of an epoch.
        display: what shows it.
    """

    def __init__(self, costs: list[float], steps: int, display: Lines):
        super().__init__()
        self.costs, self.steps, self.display = costs, steps, display
        self.began = time.perf_counter()
        self.history: dict[str, list[float]] = {"epoch": []}
        self.step = 0
        # The pace is what was done since `measured`, less what was `done` before; what makes a
        # graph moves both on. `last` is when something was done, and how much was by then.
        self.measured = self.shown = self.began
        self.done = 0.0
        self.last = (self.began, 0.0)
        self.graphs = {"training", "validation"}

    def seconds(self) -> float:
        """Returns how long the training has taken, parts before an interruption included."""
        return time.perf_counter() - self.began

    def left(self) -> float:
        """Returns the seconds left if all epochs run, by the pace of this process."""
        spent, todo = self._spent() - self.done, sum(self.costs) - self._spent()
        return (time.perf_counter() - self.measured) / spent * todo if spent else 0.0

    def _spent(self) -> float:
        epoch = len(self.history["epoch"])
        part = self.costs[epoch] * self.step / self.steps if self.step else 0.0
        return sum(self.costs[:epoch]) + part

    def _made(self, graph: str) -> None:
        """Keeps what has passed since the last call out of the pace, where it made a graph."""
        now, spent = time.perf_counter(), self._spent()
        if graph in self.graphs:
            self.graphs.remove(graph)
            self.shown = now
            self.measured += now - self.last[0]
            self.done += spent - self.last[1]
        self.last = (now, spent)

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.graphs = {"training", "validation"}

    def on_train_batch_end(self, batch: int, logs: dict) -> None:
        self.step += 1
        self._made("training")
        waited = self.last[0] - self.shown
        if waited >= self.display.seconds_between_steps and self.step < self.steps:
            epoch = len(self.history["epoch"]) + 1
            self.display.line(self._line(epoch, f", step {self.step}/{self.steps}", logs))

    def _line(self, epoch: int, where: str, logs: dict) -> str:
        """Returns one line about where the training is."""
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        figures = "  ".join(f"{name} {float(logs[name]):.3f}" for name in names if name in logs)
        text = f"epoch {epoch}/{len(self.costs)}{where}  {figures}  "
        text += f"{clock(self.seconds())} so far"
        if left := self.left():
            text += f", about {clock(left)} left"
        self.shown = time.perf_counter()
        return text

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        self.step = 0
        rate = {"learning_rate": self.model.optimizer.learning_rate}
        for name, value in (logs | rate).items():
            self.history.setdefault(name, []).append(float(value))
        self.history["epoch"].append(epoch + 1)
        self._made("validation")
        self.display.epoch(self._line(epoch + 1, "", logs), self.history, len(self.costs))
        if not all(math.isfinite(value) for value in logs.values()):
            raise TrainingError(
                f"the loss is not a number in epoch {epoch + 1}: the training diverged; "
                "lower LEARNING_RATE or set CLIPNORM"
            )


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves a training's state, so that it resumes after a kill, bit for bit.

    It must be the last callback. The numbers that Dropout draws are derived from (seed, epoch,
    step) here, as Keras' own state of it is not among a model's weights.

    Args:
        checkpoint: where the state is saved, see `lib.training.checkpoints`.
        progress, stopping, lookahead: the other callbacks, whose state is saved too.
        seed: of the training.
        steps_per_epoch: of the training.

    Attributes:
        epoch: epochs that are done.
        step: steps that are done of the epoch under way.
        finished: whether the checkpoint holds the state after all epochs.
    """

    def __init__(
        self,
        checkpoint: checkpoints.Checkpoint,
        progress: Progress,
        stopping: EarlyStopping,
        lookahead: Lookahead,
        *,
        seed: int,
        steps_per_epoch: int,
    ):
        super().__init__()
        self.checkpoint, self.progress, self.stopping = checkpoint, progress, stopping
        self.lookahead = lookahead
        self.seed, self.steps_per_epoch = seed, steps_per_epoch
        self.epoch = self.step = 0
        self.finished = False
        self.saved = time.monotonic()
        self.arrays: dict[str, list[np.ndarray]] = {}

    def resume(self, model: keras.Model) -> None:
        """Restores the saved state; that of the optimizer and the metrics follows later."""
        found = self.checkpoint.load()
        if not found:
            return
        facts, self.arrays = found
        self.epoch, self.step, self.finished = facts["epoch"], facts["step"], facts["finished"]
        self.progress.history = facts["history"]
        self.progress.began -= facts["seconds"]
        self.progress.step = self.step
        self.stopping.best = {name: tuple(best) for name, best in facts["best"].items()}
        self.stopping.best_epoch, self.stopping.stopped_by = facts["chosen"]
        self.stopping.weights = {
            epoch: self.arrays.pop(f"best {epoch}")
            for epoch in {epoch for _, epoch in self.stopping.best.values()}
        }
        self.lookahead.average = self.arrays.pop("lookahead")
        _assign(model.weights, self.arrays.pop("model"))
        where = f"epoch {self.epoch + 1}, step {self.step + 1}"
        print(
            f"An interrupted training resumes "
            f"{'with its evaluation' if self.finished else f'at {where}'}; "
            f"{clock(facts['seconds'])} of work are kept.",
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
        if self.step < self.steps_per_epoch and self._due(checkpoints.STEP_SECONDS):
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.step = epoch + 1, 0
        if self._due(checkpoints.EPOCH_SECONDS) and not self.model.stop_training:
            self.save()

    def finish(self, model: keras.Model) -> None:
        """Saves the state after all epochs, if training it again would take long."""
        if self.finished:
            return
        self.finished = True
        if self.progress.seconds() >= checkpoints.seconds_between(checkpoints.EPOCH_SECONDS):
            self.set_model(model)
            self.save()

    def _due(self, seconds: float) -> bool:
        return time.monotonic() - self.saved >= checkpoints.seconds_between(seconds)

    def save(self) -> None:
        """Saves the state."""
        groups = {
            "model": self.model.weights,
            "optimizer": self.model.optimizer.variables,
            "metrics": self.model.metrics_variables if self.step else [],
        }
        arrays = {name: [v.numpy() for v in group] for name, group in groups.items()}
        arrays["lookahead"] = self.lookahead.average
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
        self.checkpoint.save(facts, arrays)
        self.saved = time.monotonic()


def _assign(variables: list, values: list[np.ndarray]) -> None:
    """Sets variables, where there are values for them."""
    for variable, value in zip(variables, values, strict=bool(values)):
        variable.assign(value)
