"""The record of a run: its form, its checks, how it is read."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from lib import digests, metrics, study
from lib.data import PARTS
from lib.errors import RecordError
from lib.metrics import Score
from lib.results import parameters

SCHEMA = 1
NEVER_REPEATS = ("timing", "memory", "environment")
"""Fields in which two equal runs differ; the digest leaves them out."""


@dataclass(frozen=True)
class DatasetFacts:
    """The data set of a run.

    Attributes:
        name, variant, sha256, classes: as in `lib.data.Dataset`.
        train, val, test: images of each part.
        files: as in `lib.data.copies.Source`; None in old records.
    """

    name: str
    variant: str
    sha256: str
    train: int
    val: int
    test: int
    classes: list
    files: dict | None = None


@dataclass(frozen=True)
class ModelFacts:
    """The network of a run.

    Attributes:
        total_params, trainable_params: parameters, and those that training changes.
        forward_macs: multiply–adds of one image's forward pass.
        architecture: digest of its layers (`lib.models.architecture`); "" in old records.
    """

    total_params: int
    trainable_params: int
    forward_macs: int
    architecture: str = ""


@dataclass(frozen=True)
class TrainingFacts:
    """The training of a run; see `lib.training.Fit` and `lib.training.Evaluation`.

    Attributes:
        precision: in which layers computed (`lib.engine.precision`).
    """

    images_seen: int
    operations: int
    best_epoch: int
    stopped_by: str
    at_chance: bool
    precision: str = "float32"


@dataclass(frozen=True)
class Record:
    """What a run measured and under which conditions.

    Attributes:
        schema: version of this form.
        experiment: full name of the notebook, e.g. ``"00_base_cnn"``.
        seed: of the run.
        profile: name of its set of parameters; ``"custom"`` if they, or the network, are others.
        fingerprint: digest of all that the run depends on.
        status: ``"complete"``.
        dataset: the images.
        parameters: every value of the parameters cell; of a path only its last part.
        weights: ``source`` and ``sha256`` of the pretrained weights, or None.
        timing: ``total_seconds``; of the eleven also ``train_seconds``, ``evaluation_seconds`` and
            ``train_images_per_second``; of companions the seconds in their tables, by table.
        memory: ``peak_rss_mb``, MiB.
        environment: versions, machine and commit.
        digest: see `digest`.
        model, training, metrics, history: of the eleven, and of a companion that trains one
            network. Metrics by part, history by name with one value per epoch.
        title, summary, tables: of companions: rows by name of the table.
    """

    schema: int
    experiment: str
    seed: int
    profile: str
    fingerprint: str
    status: str
    dataset: DatasetFacts
    parameters: dict
    weights: dict | None
    timing: dict
    memory: dict
    environment: dict
    digest: str = ""
    model: ModelFacts | None = None
    training: TrainingFacts | None = None
    metrics: dict[str, Score] = field(default_factory=dict)
    history: dict = field(default_factory=dict)
    title: str = ""
    summary: str = ""
    tables: dict = field(default_factory=dict)

    @property
    def is_companion(self) -> bool:
        """Whether it is of a companion notebook."""
        return self.model is None or self.experiment in study.COMPANIONS

    @property
    def machine(self) -> str:
        """What it ran on: the processor, and GPUs where TensorFlow could use any."""
        gpus = ", ".join(self.environment.get("gpus", []))
        return f"{self.environment['cpu']} with {gpus}" if gpus else self.environment["cpu"]

    @property
    def has_other_network(self) -> bool:
        """Whether the network is not the study's; without a digest it counts as the study's."""
        return not self.is_companion and study.is_other_network(
            self.experiment, self.model.architecture
        )

    @property
    def no_verdict(self) -> str:
        """Why the run is not judged: ``""`` for the study's network on all of CIFAR-10's images."""
        learned, tested = self.dataset.train + self.dataset.val, self.dataset.test
        if self.experiment not in study.SLUGS:
            return "the study has no such experiment"
        if self.dataset.name != "cifar10":
            return "these are not CIFAR-10 images"
        if self.has_other_network:
            return "the network is not the study's"
        if (learned, tested) != study.IMAGES:
            return (
                f"{learned:,} of {study.IMAGES[0]:,} training and validation images and "
                f"{tested:,} of {study.IMAGES[1]:,} test images were used"
            )
        return ""

    @property
    def name(self) -> str:
        """Name that the run's record, predictions, model and page share.

        A custom run's name holds a mark of its parameters, images and network, so that a trial of
        others is kept beside it, and the same again replaces it.
        """
        profile = self.profile
        if profile == "custom":
            network = self.model.architecture if self.has_other_network else ""
            profile = custom(self.parameters, self.dataset.sha256, network)
        return run_name(self.experiment, profile, self.seed)

    def to_json(self) -> dict:
        """Returns the record as it is saved, signed with its digest."""
        left_out = ["digest", *(() if self.model else ELEVEN)]
        left_out += () if self.is_companion else COMPANION
        content = {key: value for key, value in asdict(self).items() if key not in left_out}
        return content | {"digest": digest(content)}


ELEVEN = ("model", "training", "metrics", "history")
COMPANION = ("title", "summary", "tables")
"""Fields of records of the eleven, and of companions; a companion may have both."""


def custom(values: parameters.Values, data: str, network: str = "") -> str:
    """Returns the profile, with its mark, in the name of a custom run.

    Args:
        values: its parameters, as a record has them.
        data: digest of its images.
        network: digest of a network that is not the study's.
    """
    tried = [parameters.computed(values), data, *([network] if network else [])]
    return f"custom-{digests.of_text(json.dumps(tried, sort_keys=True))[:6]}"


def run_name(slug: str, profile: str, seed: int) -> str:
    """Returns the name that the record, the predictions and the page of a run share."""
    return f"{slug}-{profile}-seed{seed}"


def digest(content: dict) -> str:
    """Returns the digest of a record as JSON, without the digest itself and `NEVER_REPEATS`."""
    return digests.of_json(
        {key: value for key, value in content.items() if key not in ("digest", *NEVER_REPEATS)}
    )


def read(path: Path) -> Record:
    """Reads a record and checks its form, its digest, and the predictions beside it.

    Raises:
        RecordError: if the file is no complete record of this schema, was changed, or has
            predictions that cannot be read or give other test figures.
    """
    where = _where(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordError(f"{where} is not readable ({reason}); delete it and run again") from error
    record, content = _parsed(text, where), json.loads(text)
    needed = COMPANION if "tables" in content else ELEVEN
    for name in ("digest", *needed, *(ELEVEN if "model" in content else ())):
        if name not in content:
            raise RecordError(f"{where} lacks {name!r}; delete it and run again")
    if record.schema != SCHEMA or record.status != "complete":
        raise RecordError(
            f"{where} has schema {record.schema} and status {record.status!r}, expected "
            f"{SCHEMA} and 'complete'; delete it and run again"
        )
    for part in PARTS if record.model else ():
        found = record.metrics.get(part)
        if not (found and 0 <= found.accuracy <= 1 and math.isfinite(found.loss)):
            raise RecordError(f"{where}: metrics of {part!r} are {found}; delete it and run again")
    if record.digest != digest(content):
        raise RecordError(f"{where} was changed after it was written; delete it and run again")
    # A record whose predictions are missing is still a record: its digest vouches for it.
    if record.model and path.with_suffix(".npz").is_file():
        _check_predictions(path, record)
    return record


def _parsed(text: str, where: str) -> Record:
    """Returns a record's JSON as a `Record`, after checking that each field has its type."""
    try:
        return TypeAdapter(Record).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "JSON"
        given = "" if first["type"] == "missing" else f", got {str(first['input'])[:40]!r}"
        raise RecordError(
            f"{where}: {place}: {first['msg']}{given}; delete it and run again"
        ) from error


def _check_predictions(path: Path, record: Record) -> None:
    """Checks that the predictions beside a record give the record's test figures."""
    stored = path.with_suffix(".npz")
    try:
        with np.load(stored, allow_pickle=False) as content:
            measured = metrics.score(content["probabilities"], content["labels"])
    except Exception as error:  # zip, header, shape and index errors, all of them the file's
        raise RecordError(
            f"{_where(stored)} holds no predictions ({type(error).__name__}); delete it and its "
            "record and run again"
        ) from error
    expected = record.metrics["test"]
    # Another processor may sum to another last bit.
    if not all(
        math.isclose(a, b, rel_tol=1e-9)
        for a, b in ((measured.accuracy, expected.accuracy), (measured.loss, expected.loss))
    ):
        raise RecordError(
            f"{_where(path)} says {expected} on the test images, but the predictions beside it "
            f"give {measured}; delete both and run again"
        )


def predictions(out: Path, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the probabilities (n, classes) and labels (n,) beside a sound record, if saved."""
    path = out / "results" / f"{record.name}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as content:
        return content["probabilities"], content["labels"]


def _where(path: Path) -> str:
    """Names a file by its folder and name: messages appear on pages, where no path belongs."""
    return f"{path.parent.name}/{path.name}"


def paths(out: Path) -> list[Path]:
    """Returns the paths of what should be records below a report's folder, by name."""
    return sorted((out / "results").glob("[!.]*.json"))  # not what a kill in mid-write left


def read_all(out: Path) -> list[Record]:
    """Reads all records below a report's folder, by name; an unusable one is named and left out."""
    records = []
    for path in paths(out):
        try:
            records.append(read(path))
        except RecordError as error:
            print(f"Left out: {error}")
    return records
