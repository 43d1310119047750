"""Classifies pictures with a trained model: ``python -m ladder predict MODEL FOLDER``."""

import argparse
import csv
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from ladder.reasons import UsageError
from lib import cache, results
from lib.data import folders, image_files
from lib.errors import DataError, LadderError, RecordError

COLUMNS = ("file", "predicted", "probability")
"""First columns of the CSV; then follows one per class, with its probability."""
CHUNK = 1000
"""Pictures in memory at once: whole batches of `lib.inputs.EVALUATION_BATCH`."""
_MOST_ABOUT = 2**20


@dataclass(frozen=True)
class About:
    """What a saved model knows beside its network.

    Attributes:
        classes: their names, in the order of the outputs.
        image_size: height and width at which its data set's images were read, pixels.
        white: value of 16-bit files that becomes 255; 0 if that is not known.
    """

    classes: list[str]
    image_size: int
    white: int = 0


def about(path: Path) -> About:
    """Reads the classes of a model from its file.

    Raises:
        RecordError: if the file is no model of this project.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(results.ABOUT) as member:
            return TypeAdapter(About).validate_json(member.read(_MOST_ABOUT), strict=True)
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror})") from error
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise RecordError(
            f"{path.name} is not a model that a run of this project saved; expected "
            "<report>/models/<run>.keras"
        ) from error


def pictures(place: Path) -> list[Path]:
    """Returns the files below a folder, sorted, without those hidden or of the system; or a file.

    Raises:
        OSError: if a folder cannot be read.
    """
    if not place.is_dir():
        return [place]
    try:
        return sorted(path for path in folders.below(place) if not image_files.is_litter(path))
    except OSError as error:
        raise OSError(f"{error.filename} cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class Classifier:
    """A trained model, which prepares pictures as for its training.

    Attributes:
        about: its classes, and the size of its pictures.
        model: the Keras model.
    """

    about: About
    model: object

    def read(self, file: Path) -> np.ndarray:
        """Reads one picture, uint8 RGB, at the size of the data set's images.

        Raises:
            DataError: if it is none, or cannot be read.
        """
        name = folders.shown(file)
        if not file.is_file():
            raise DataError(f"{name} is a link to a file that is not here, or no regular file")
        try:
            image, _ = image_files.picture(image_files.bounded(file).read_bytes(), file.name)
        except OSError as error:
            raise DataError(f"{name} cannot be read ({error.strerror})") from error
        except image_files.UnreadableError as error:
            raise DataError(f"{name} cannot be read as an image ({error})") from error
        white = self.about.white or image_files.white_of(int(image.max()))
        # In this order, as in the training: the other one differs in the last bit.
        fitted = image_files.fit_size(image, self.about.image_size)
        return image_files.eight_bits(fitted, white)

    def probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Returns float32 (n, classes) for pictures that `read` returned."""
        from lib import training

        return training.predict(self.model, np.stack(images))


def load(path: Path) -> Classifier:
    """Loads a model that a run saved.

    Raises:
        RecordError: if it is none.
    """
    found = about(path)
    model = results.saved_model(path)
    size, outputs = model.input_shape[1:2], model.output_shape[-1]
    expected = (None, *size, *size, 3)
    if model.input_shape != expected or max(outputs, 2) != len(found.classes):
        raise RecordError(
            f"{path.name} takes {model.input_shape} and has {outputs} outputs; expected a network "
            f"from square RGB images to {len(found.classes)} classes"
        )
    return Classifier(found, model)


def classify(classifier: Classifier, files: list[Path], skipped: list[DataError]) -> Iterator:
    """Yields each file that is a picture, with its probabilities, float32 (classes,).

    Args:
        classifier: of `load`.
        files: of any number; `CHUNK` pictures are in memory at once.
        skipped: takes the errors of files that are no pictures.
    """
    for start in range(0, len(files), CHUNK):
        kept, images = [], []
        for file in files[start : start + CHUNK]:
            try:
                images.append(classifier.read(file))
                kept.append(file)
            except DataError as error:
                skipped.append(error)
        if images:
            yield from zip(kept, classifier.probabilities(images), strict=True)
        if len(files) > CHUNK:
            done = min(start + CHUNK, len(files))
            print(f"{done:,} of {len(files):,} files", file=sys.stderr, flush=True)


def header(classes: list[str]) -> list[str]:
    """Returns the names of the CSV's columns, all different, for the names of classes."""
    return [*COLUMNS, *(f"probability of {c}" if c in COLUMNS else c for c in classes)]


def write(classifier: Classifier, files: list[Path], folder: Path, out: Path) -> int:
    """Writes the predictions as CSV, whole or not at all, and returns the number of files left out.

    Args:
        classifier: of `load`.
        files: below ``folder``.
        folder: what the names in the CSV are relative to.
        out: the file.

    Raises:
        DataError: if no file is a picture.
        OSError: if ``out`` cannot be written.
    """
    classes = classifier.about.classes
    skipped: list[DataError] = []
    with (
        cache.atomic_file(out) as part,
        # A file name may hold bytes that are no text.
        part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)  # ends lines as RFC 4180, and so quotes names with any line break
        writer.writerow(header(classes))
        for path, row in classify(classifier, files, skipped):
            best = row.argmax()
            writer.writerow([path.relative_to(folder), classes[best], row[best], *row])
        if len(skipped) == len(files):
            raise DataError(f"no file in {folder} is a picture, for example: {skipped[0]}")
    print(f"{folders.many(len(files) - len(skipped), 'picture')}: {out}")
    if skipped:
        left_out = folders.many(len(skipped), "file")
        print(f"Left out: {left_out}, for example: {skipped[0]}", file=sys.stderr)
    return len(skipped)


def _refuse(model: Path, place: Path, out: Path) -> None:
    """Refuses paths that make no sense, before TensorFlow is loaded.

    Raises:
        UsageError: if an input is missing, or ``out`` is a file that no prediction wrote.
    """
    if not model.is_file():
        raise UsageError(f"{model} is not a file; expected a model, <report>/models/<run>.keras")
    if not place.exists():
        raise UsageError(f"{place} does not exist; expected a folder of pictures, or a picture")
    if out.exists() and not out.is_file():  # root's rename would replace a device as well
        what = "a folder" if out.is_dir() else "no regular file"
        raise UsageError(f"--out {out} is {what}; expected the name of a CSV file")
    begin = ",".join(COLUMNS).encode()
    if out.exists() and not begin.startswith(out.read_bytes()[: len(begin)]):
        raise UsageError(f"--out {out} exists and holds no predictions; choose another name")


def main(arguments: list[str]) -> int:
    """Writes predictions; returns 0 if all is done, 1 if something is not, 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m ladder predict",
        description="Classifies pictures with a trained model, and writes a CSV file.",
    )
    parser.add_argument("model", type=Path, help="a saved model: <report>/models/<run>.keras")
    parser.add_argument("folder", type=Path, help="pictures, also in subfolders; or one picture")
    parser.add_argument(
        "--out", type=Path, default=Path("predictions.csv"), help="file (predictions.csv)"
    )
    options = parser.parse_args(arguments)
    model, place, out = (path.expanduser() for path in (options.model, options.folder, options.out))
    try:
        _refuse(model, place, out)
        files = [file for file in pictures(place) if file.resolve() != out.resolve()]
        if not files:
            raise DataError(f"{place} has no files; expected pictures")
        return 1 if write(load(model), files, place if place.is_dir() else place.parent, out) else 0
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except LadderError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # those of reading have no error number: they are our own sentences
        sentence = f"--out {out} cannot be written ({error.strerror}); choose another file"
        print(sentence if error.strerror else error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Nothing was written.", file=sys.stderr)
        return 1
