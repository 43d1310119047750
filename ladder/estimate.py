"""How long a notebook is likely to take on this machine."""

from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from ladder.run import NOTEBOOK_SECONDS, OF_RECORD
from lib import models
from lib.data import Source
from lib.engine import precision
from lib.errors import RecordError
from lib.results import model_cell, parameters, record
from lib.results.record import Record
from lib.study import COMPANIONS
from lib.training import Recipe
from lib.training.pace import Pace, measure_pace, training_seconds

LIKE_THE_ELEVEN = "beyond_the_study"
"""The companion that trains one network, whose cell is tagged ``model``."""
REFERENCE = "08_vgg16_finetuned"
"""The experiment whose speed compares this machine with that of a record."""


class Estimator:
    """Estimates the seconds of notebooks before they run; each network is timed once.

    Args:
        source: the data set.
        out: the report's folder, whose records of companions say how long they take.
    """

    def __init__(self, source: Source, out: Path):
        self.source, self.out = source, out
        self.paces: dict[tuple, Pace] = {}

    def seconds(self, slug: str, values: dict) -> float:
        """Returns the seconds of one notebook, all of it.

        Args:
            slug: the notebook.
            values: its parameters.
        """
        if slug == "inspect_a_model":  # trains one of the eleven
            slug = values["EXPERIMENT"]
        if slug in COMPANIONS and slug != LIKE_THE_ELEVEN:
            return NOTEBOOK_SECONDS + self._companion(slug, values)
        train, val, test = self._sizes(values)
        names = {field.name: field.name.upper() for field in fields(Recipe)}
        given = {name: values[upper] for name, upper in names.items() if upper in values}
        given["epochs"] += 2 * values.get("ABLATION_EPOCHS", 0)  # seven networks of a quarter each
        recipe = Recipe(**{"patience": 0} | given)
        pace = self._pace(slug, values)
        return NOTEBOOK_SECONDS + training_seconds(pace, recipe, train=train, val=val, test=test)

    def _sizes(self, values: dict) -> tuple[int, int, int]:
        """Returns how many images there are to train, validate and test."""
        own = self.source.y_val
        val = min(values.get("VAL_SIZE", 0), self.source.max_val if own is None else len(own))
        train = min(values.get("TRAIN_SIZE", 0), self.source.images - val)
        return train, val, min(values.get("TEST_SIZE", 0), len(self.source.y_test))

    def _pace(self, slug: str, values: dict) -> Pace:
        """Measures the pace of an experiment's network; parameters of others are not used."""
        own = {name: value for name, value in values.items() if name in parameters.defaults(slug)}
        computes_in = precision.resolved(values.get("PRECISION", "float32"))
        precision.use(computes_in)
        model = model_cell.build(slug, classes=len(self.source.classes), **own)
        batch_size = values["BATCH_SIZE"]
        key = models.architecture(model), model.input_shape, batch_size, computes_in
        if key not in self.paces:
            self.paces[key] = measure_pace(models.functional(model, 32), batch_size)
        return self.paces[key]

    def _companion(self, slug: str, values: dict) -> float:
        """Scales the seconds of a companion's record by its work and this machine's pace."""

        def distance(found: Record) -> tuple[bool, float]:
            return found.dataset.name != self.source.name, abs(
                self._work(values) - self._work(found.parameters)
            )

        for out, slower in ((self.out, lambda: 1.0), (OF_RECORD, self._slower_than_of_record)):
            if found := sorted(_records(out, f"{slug}-*"), key=distance):
                ratio = (1 + self._work(values)) / (1 + self._work(found[0].parameters))
                return found[0].timing["total_seconds"] * ratio * slower()
        return 0.0

    def _work(self, values: dict) -> float:
        """Returns a number that grows with the work of a companion: images times epochs."""
        epochs = max((v for name, v in values.items() if name.endswith("EPOCHS")), default=1)
        sizes = sum(self._sizes(values))
        more = sum(min(values.get(name, 0), len(self.source.y_train)) for name in _MORE_SIZES)
        return (sizes + more) * max(epochs, 1)

    def _slower_than_of_record(self) -> float:
        """Returns how many times as long as in the committed record a training step takes here."""
        for found in _records(OF_RECORD, f"{REFERENCE}-*"):
            pace = self._pace(REFERENCE, {"BATCH_SIZE": found.parameters["BATCH_SIZE"]})
            return pace.training * found.timing["train_images_per_second"]
        return 1.0


_MORE_SIZES = ("OTHERS_SIZE", "UNFROZEN_SIZE")


def _records(out: Path, pattern: str) -> list[Record]:
    """Returns the sound records in a report's folder whose names match a pattern."""
    found = []
    for path in sorted((out / "results").glob(f"{pattern}.json")):
        with suppress(RecordError):
            found.append(record.read(path))
    return found
