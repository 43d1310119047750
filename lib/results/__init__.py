"""A notebook's run: begun before its network is built, recorded as one JSON file at its end."""

import json
import os
import time
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lib import ROOT, cache, digests, in_batch_run, study
from lib.errors import ParameterError, RecordError
from lib.results import fingerprint, machine, parameters
from lib.results.record import (
    SCHEMA,
    DatasetFacts,
    ModelFacts,
    Record,
    TrainingFacts,
    read,
    run_name,
)

STAGE = "CIFAR10_LADDER_STAGE"
"""Environment variable: the folder in which `ladder.run` collects a run's files before it moves
them to OUT. It is not a parameter, so that no page shows it."""
ABOUT = "cifar10-ladder.json"
"""Member of a saved model, a zip file, which Keras ignores: the names of the classes, in order,
the size at which pictures are read, pixels, and the value of 16-bit files that is white. So a model
that is moved still knows them."""
CHECKPOINTS = "checkpoints.json"
"""File in that folder: the checkpoints that are needed until the record is in its place."""


@dataclass(frozen=True)
class Run:
    """A notebook's run.

    Attributes:
        slug: the notebook.
        values: its parameters.
        began: when it began, `time.perf_counter` seconds.
        names: the notebook's ``globals()``.
        precision: in which layers compute, see `lib.engine.precision`.
    """

    slug: str
    values: parameters.Values
    began: float
    names: parameters.Values = field(default_factory=dict)
    precision: str = "float32"

    def _check_unchanged(self) -> None:
        """Refuses parameters that have changed since the run began: the record would lack them.

        This happens if the parameters cell runs alone.
        """
        for name, value in self.values.items():
            if (now := self.names.get(name, value)) != value:
                raise ParameterError(
                    f"{name} is now {now!r}, and was {value!r} when this run began: run the "
                    "notebook from its first cell"
                )

    def show_network(self, model, images) -> None:
        """Checks a network, shows its layers, and says so if it is not the study's.

        Args:
            model: the Keras model, see `lib.training.fit`.
            images: `lib.data.Dataset`.

        Raises:
            ModelError: if the model cannot be trained on these images.
        """
        from lib import models, plots

        plots.show_text(models.summary(models.checked(model, images)))
        if self._is_other(model, images):
            published = study.experiment(self.slug).total_params
            print(
                f"This is not the study's network ({model.count_params():,} parameters; the "
                f"study's has {published:,}): the run is recorded as custom, without a verdict."
            )

    def announce(self, model, images, recipe) -> None:
        """Says how long the training takes here and, if it is long, which profile is shorter.

        Args:
            model, images: see `show_network`.
            recipe: `lib.training.Recipe`.

        Raises:
            ParameterError: if a parameter has changed since the run began.
        """
        from lib import models
        from lib.training import pace

        self._check_unchanged()
        pace.announce(models.checked(model, images), images, recipe, self._shorter(images))

    def _shorter(self, images) -> dict[str, parameters.Values]:
        """Returns the values of the profiles that a reader may take instead, by name."""
        if in_batch_run():
            return {}
        count = len(images.x_train) + len(images.x_val)
        names = ("few",) if images.name.startswith("own/") else ("quick", "budget")
        return {name: parameters.of_profile(name, self.slug, images=count) for name in names}

    def compare(self, model, images, evaluation) -> None:
        """Shows the figures beside the published ones and those of the experiment before.

        Args:
            model, images: see `show_network`.
            evaluation: `lib.training.Evaluation`.
        """
        from lib.results import shown

        other = self._is_other(model, images)
        shown.comparison(
            self.slug, self.values, images, evaluation, out=self.out, other_network=other
        )

    def write(
        self, *, images, model, fit, evaluation, weights=None, fits=(), **of_companion
    ) -> Path:
        """Writes a finished run: the model, the test predictions, then, last, the record.

        Args:
            images: `lib.data.Dataset`.
            model: the trained Keras model.
            fit: `lib.training.Fit`.
            evaluation: `lib.training.Evaluation`.
            weights: `lib.pretrained.Weights`, where the run started from them.
            fits: other trainings of the notebook.
            **of_companion: title, summary and tables of a companion, see `write_companion`.

        Returns:
            The path of the record, ``<OUT>/results/<slug>-<profile>-seed<k>.json``. The
            probabilities (float32, n × classes) and labels of the test images are saved beside it
            as ``.npz``, the model in ``<OUT>/models`` in Keras' format. If the parameters or the
            network are not those of PROFILE, the profile is "custom" with a mark (`Record.name`).

        Raises:
            ParameterError: if a parameter has changed since the run began.
            OSError: if the folder cannot be written; nothing is left half written.
        """
        from lib import models
        from lib.results import shown

        architecture = self._architecture(model, images)
        other = architecture if study.is_other_network(self.slug, architecture) else ""
        record = Record(
            **self._common(images, weights, other),
            model=ModelFacts(
                total_params=model.count_params(),
                trainable_params=models.trainable_params(model),
                forward_macs=models.forward_macs(model),
                architecture=architecture,
            ),
            training=TrainingFacts(
                images_seen=fit.images_seen,
                operations=fit.operations,
                best_epoch=fit.best_epoch,
                stopped_by=fit.stopped_by,
                at_chance=evaluation.at_chance,
                precision=self.precision,
            ),
            metrics=evaluation.metrics,
            history=fit.history,
            **of_companion,
        )
        record.timing.update(
            train_seconds=round(fit.seconds, 3),
            evaluation_seconds=round(evaluation.seconds, 3),
            train_images_per_second=round(fit.images_seen / fit.seconds, 1),
        )
        with cache.atomic_file(self._folder / "models" / f"{record.name}.keras") as part:
            models.as_keras(model).save(part)
            about = {
                "classes": list(images.classes),
                "image_size": images.image_size,
                "white": (images.files or {}).get("white", 0),
            }
            with zipfile.ZipFile(part, "a") as archive:  # ZipInfo: without the time of day
                archive.writestr(zipfile.ZipInfo(ABOUT), json.dumps(about))
        with cache.atomic_file(self._folder / "results" / f"{record.name}.npz") as part:
            np.savez_compressed(part, probabilities=evaluation.probabilities, labels=images.y_test)
        path = self._finish(record, [path for each in (fit, *fits) for path in each.checkpoints])
        print(f"Record: {path.name}")
        shown.card(record, "" if STAGE in os.environ else self.values["OUT"])
        return path

    def write_companion(
        self,
        *,
        images,
        title: str,
        summary: str,
        tables: dict[str, list[dict]],
        fits: Iterable = (),
        weights=None,
    ) -> Path:
        """Writes what a companion notebook found.

        Args:
            images: `lib.data.Dataset`.
            title: of the notebook.
            summary: its last paragraph, the results.
            tables: rows by name of the table; a row is column: figure. Columns that end in
                "seconds" go to the record's ``timing``, as they never repeat.
            fits: each `lib.training.Fit` of the notebook.
            weights: `lib.pretrained.Weights`, where they were used.

        Returns:
            The path of the record, as `write`.

        Raises:
            OSError: if the folder cannot be written; nothing is left half written.
        """
        content = self._common(images, weights)
        kept = {}
        for name, rows in tables.items():
            timed = [{k: v for k, v in row.items() if k.endswith("seconds")} for row in rows]
            pairs = zip(rows, timed, strict=True)
            kept[name] = [{k: v for k, v in row.items() if k not in out} for row, out in pairs]
            if any(timed):
                content["timing"][name] = timed
        record = Record(**content, title=title, summary=summary, tables=kept)
        return self._finish(record, [path for fit in fits for path in fit.checkpoints])

    @property
    def _folder(self) -> Path:
        return ROOT / cache.expanded(os.environ.get(STAGE, self.values["OUT"]))

    @property
    def out(self) -> Path:
        """The report's folder, to which `ladder.run` moves files from a folder two levels below."""
        return self._folder.parents[1] if STAGE in os.environ else self._folder

    def _architecture(self, model, images) -> str:
        """Returns the digest of a network; its input's size counts if no parameter gives it."""
        from lib import models

        digest, size = models.architecture(model), model.input_shape[1]
        expected = self.values.get("IMAGE_SIZE", images.image_size)
        return digest if size == expected else digests.of_json([digest, size])[:12]

    def _is_other(self, model, images) -> bool:
        """Returns whether a network is not the study's."""
        return study.is_other_network(self.slug, self._architecture(model, images))

    def _common(self, images, weights, other_network: str = "") -> dict:
        """Returns the fields that all records have.

        Args:
            images, weights: see `write`.
            other_network: digest of a network that is not the study's.
        """
        self._check_unchanged()
        values, profile = self.values, self.values["PROFILE"]
        count = len(images.y_train) + len(images.y_val)
        of_profile = parameters.of_profile(profile, self.slug, images=count)
        changed = parameters.computed(values) != parameters.computed(of_profile)
        if other_network or changed or self._would_replace_other(images):
            profile = "custom"
        used = {"source": weights.source, "sha256": weights.sha256} if weights else None
        return {
            "schema": SCHEMA,
            "experiment": self.slug,
            "seed": values["SEED"],
            "profile": profile,
            "fingerprint": fingerprint.of_run(
                self.slug,
                values,
                data=images.sha256,
                weights=used and used["sha256"],
                architecture=other_network,
            ),
            "status": "complete",
            "dataset": DatasetFacts(
                name=images.name,
                variant=images.variant,
                sha256=images.sha256,
                train=len(images.x_train),
                val=len(images.x_val),
                test=len(images.x_test),
                classes=list(images.classes),
                files=images.files,
            ),
            "parameters": parameters.without_paths(values, dataset=images.name),
            "weights": used,
            "timing": {"total_seconds": round(time.perf_counter() - self.began, 3)},
            "memory": {"peak_rss_mb": machine.peak_rss_mb()},
            "environment": machine.environment(),
        }

    def _would_replace_other(self, images) -> bool:
        """Returns whether the profile's record is there, of other images than digits or these."""
        name = run_name(self.slug, self.values["PROFILE"], self.values["SEED"])
        with suppress(RecordError):
            found = read(self.out / "results" / f"{name}.json")
            return found.dataset.name not in (images.name, "digits")
        return False

    def _finish(self, record: Record, checkpoints: list[Path]) -> Path:
        """Writes a record, whole or not at all, and removes the checkpoints of its training."""
        path = self._folder / "results" / f"{record.name}.json"
        content = record.to_json()
        if not _is_there(path, content["digest"]):  # the page of another run, if there is one
            (self._folder / "notebooks" / f"{record.name}.html").unlink(missing_ok=True)
        text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        with cache.atomic_file(path) as part:
            part.write_text(text, encoding="utf-8")
        if STAGE in os.environ:  # the record is not yet in its place
            (self._folder / CHECKPOINTS).write_text(json.dumps([path.name for path in checkpoints]))
        else:
            for checkpoint in checkpoints:
                checkpoint.unlink(missing_ok=True)
        return path


def _is_there(path: Path, digest: str) -> bool:
    """Returns whether a file is the record with that digest."""
    try:
        return read(path).digest == digest
    except RecordError:
        return False


def begin(slug: str, names: parameters.Values) -> Run:
    """Begins a run: applies the profile, checks the parameters, sets precision and seed.

    In a notebook that a person runs, the values of PROFILE replace those that still equal the
    published default. A batch run has set all values.

    Args:
        slug: the notebook, e.g. ``"00_base_cnn"``.
        names: the notebook's ``globals()``; replaced parameters are changed in it.

    Raises:
        ParameterError: if a parameter or the profile is unknown, or a parameter is unread or of
            another type.
    """
    began = time.perf_counter()
    from lib import training
    from lib.engine import precision

    parameters.code_cells.cache_clear()  # an edited notebook, run again in the same kernel
    values = parameters.in_notebook(slug, names)
    if not in_batch_run():
        replaced = _apply_profile(slug, values)
        names.update(replaced)
        values |= replaced
    computes_in = precision.resolved(values.get("PRECISION", "float32"))
    precision.use(computes_in)
    if computes_in != "float32":
        slow = precision.fastest() == "float32"
        hint = ", which is slower than float32 on this machine" if slow else ""
        print(f"Precision: layers compute in {computes_in}{hint}.")
    training.seed(values["SEED"])
    return Run(slug, values, began, names, computes_in)


def _apply_profile(slug: str, values: parameters.Values) -> parameters.Values:
    """Returns the parameters that the profile replaces, and prints what holds."""
    from lib import data

    images, profile = 0, values["PROFILE"]
    if profile == "few":  # its epochs depend on the images
        size = values.get("IMAGE_SIZE", 32)
        images = data.open_source(values["DATASET"], image_size=size).images
    replaced, own = parameters.with_profile(slug, values, images=images)
    for found, meaning in (
        (replaced, f'Values of PROFILE = "{profile}"'),
        (own, "Your values, so that the run is recorded as custom"),
    ):
        if found:
            print(f"{meaning}: {', '.join(f'{key} = {value!r}' for key, value in found.items())}.")
    return replaced


def trained_model(out: Path, run: str):
    """Loads the model of a run of the ladder.

    Args:
        out: the report's folder.
        run: name of the run, e.g. ``"05_data_augmentation-quick-seed0"``.

    Returns:
        The run's `Record`, and its Keras model, not compiled.

    Raises:
        RecordError: if that folder has no such record or model, or it cannot be read.
    """
    path = out / "models" / f"{run}.keras"
    if not path.is_file():
        there = sorted(path.stem for path in (out / "models").glob("[!.]*.keras"))
        raise RecordError(
            f"RUN = {run!r}: no model of that run is in {out.name}/models; expected one of "
            f"{', '.join(there) or 'none yet: run ./run_all.sh first'}"
        )
    return read(out / "results" / f"{run}.json"), saved_model(path)


def saved_model(path: Path):
    """Loads a model file, without running code in it.

    Returns:
        The Keras model, not compiled.

    Raises:
        RecordError: if the file cannot be read.
    """
    from lib.engine import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras', zip's and HDF5's
        raise RecordError(
            f"{path.name} is damaged or holds code, which is not run; delete it and run again"
        ) from error
