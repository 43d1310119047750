"""A data set of the reader's own: how its folders are laid out, and an account of its files.

Classes are folders, in ``train/``, ``test/`` and ``val/``, or alone where there is no split.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, product
from pathlib import Path

import numpy as np

from lib import digests
from lib.data import image_files
from lib.errors import DataError

PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of a part's folder, in lower case."""

NOT_IMAGES = "not images"
SYSTEM = "hidden or of the system"
OUTSIDE = "outside of class folders"
IGNORED = (NOT_IMAGES, SYSTEM, OUTSIDE)
"""Why a file is ignored."""

_LOST = "link whose target is missing"
_LFS = "Git LFS pointer"
_IRREGULAR = "no regular file"
_ADVICE = {
    _LOST: "run git annex get or dvc pull, or remove what is not needed",
    _LFS: "run git lfs pull",
    **dict.fromkeys((image_files.DAMAGED, image_files.CUT_OFF, _IRREGULAR), "replace or remove"),
}
_CONVERT = "convert to 8-bit or 16-bit PNG or JPEG, for example with ImageMagick: magick"

_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Line breaks, other control characters, and bytes of a name that are no letter."""

_HELD_OUT_SEED = 0  # which images are the test part must not change with the run's seed


@dataclass(frozen=True)
class Survey:
    """What there is to read in a folder.

    Attributes:
        folder: of the data set.
        classes: names of the classes, sorted.
        parts: files with the index of their class, by part: ``train``, ``test``, perhaps ``val``.
        sha256: digest of the names and contents of these files.
        files: account of all files, as in `lib.data.copies.Source`.
    """

    folder: Path
    classes: list[str]
    parts: dict[str, list[tuple[Path, int]]]
    sha256: str
    files: dict


def many(count: int, one: str, more: str = "") -> str:
    """Writes a number with its noun, whose plural may be given: ``1 image``, ``2 classes``."""
    more = more or one + ("es" if one.endswith("s") else "s")
    return f"{count:,} {one if count == 1 else more}"


def account(name: str, files: dict | None) -> list[str]:
    """Returns an account of files in lines for the reader; none for sets that are no folder.

    Args:
        name: of the data set.
        files: as in `lib.data.copies.Source`.
    """
    if not files:
        return []
    read = Counter()
    for row in files["classes"]:
        read[row["part"]] += row["read"]
    parts = ", ".join(f"{part} {count:,}" for part, count in read.items())
    ignored = ", ".join(f"{count:,} {why}" for why, count in files["ignored"].items())
    return [
        f"{name}: {many(files['found'], 'file')} found, {files['read']:,} read ({parts}), ignored: "
        f"{ignored or 'none'}.",
        *(f"Warning: {text}." for text in files["warnings"]),
        *(f"Note: {text}." for text in files["notes"]),
    ]


def survey(folder: Path) -> Survey:
    """Finds the classes and images of a folder and accounts for all of its files.

    Args:
        folder: with ``train/<class>/``, ``test/<class>/`` and ``val/<class>/``, or class folders.

    Raises:
        DataError: if the folder's layout, its classes or one of its files cannot be used.
    """
    try:
        return _survey(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: {shown(Path(error.filename or folder))} cannot be read "
            f"({error.strerror}); make it readable or remove it"
        ) from error


def _survey(folder: Path) -> Survey:
    places, unused = _places(folder)
    classes = _classes(folder, places)
    parts, names, ignored = defaultdict(list), defaultdict(list), Counter()
    for part, place in places.items():
        for label, name in enumerate(classes):
            for path in sorted(below(place / name), key=lambda path: path.parts):
                why = _why(path)
                names[why].append(shown(path.relative_to(folder)))
                ignored[part, label, why] += 1
                if not why:
                    parts[part].append((path, label))
    for path in _beside([folder, *places.values()], unused):
        why = _why(path)
        names[why if why in (SYSTEM, _LOST) else OUTSIDE].append(shown(path.relative_to(folder)))
    refuse(folder, {why: found for why, found in names.items() if why not in ("", *IGNORED)})
    images = [path for rows in parts.values() for path, _ in rows]
    contents = image_files.content_digests(folder, images)
    digest_of = dict(zip(images, contents.values(), strict=True))
    notes = [
        f"{many(len(names[why]), 'file is', 'files are')} ignored ({why}), for example "
        f"{names[why][0]}"
        for why in (NOT_IMAGES, OUTSIDE)
        if names[why]
    ]
    _check_counts(folder, places, classes, parts, digest_of, notes)
    if "test" not in places:
        parts["train"], parts["test"] = _held_out(parts["train"], digest_of)
        notes.append(
            f"there is no test folder, so {many(len(parts['test']), 'image')}, a fifth of each "
            "class, are held out as the test part, the same in every run"
        )
    elif places["test"].name.lower() not in PARTS["test"]:
        notes.append(
            f"there is no test folder, so {places['test'].name}/ is the test part and validation "
            "images are drawn from the training images"
        )
    files = _account(names, ignored, parts, classes)
    warnings = _on_subfolders(places["train"], classes) + _on_copies(folder, parts, digest_of)
    files |= {"notes": notes, "warnings": warnings}
    return Survey(folder, classes, dict(parts), digests.of_json(contents), files)


def _account(names: dict, ignored: Counter, parts: dict, classes: list[str]) -> dict:
    """Counts files: all, by why they are ignored, and by part and class."""
    rows = []
    for part, images in parts.items():
        read = Counter(label for _, label in images)
        for label, name in enumerate(classes):
            more = {why: n for why in IGNORED if (n := ignored[part, label, why])}
            found = read[label] + sum(more.values())
            rows.append({"part": part, "class": name, "found": found, "read": read[label]} | more)
    return {
        "found": sum(len(names[why]) for why in ("", *IGNORED)),
        "read": len(names[""]),
        "ignored": {why: len(names[why]) for why in IGNORED if names[why]},
        "classes": rows,
    }


def read(found: Survey, image_size: int) -> dict:
    """Reads the images of a survey.

    Args:
        found: the survey.
        image_size: height and width, pixels, that all images are resized to.

    Returns:
        Images, labels, ``variant``, ``classes`` and ``max_val`` as in `lib.data.copies.Source`, and
        in ``files`` the notes on the images' content, and the ``white`` of 16-bit files.

    Raises:
        DataError: if an image cannot be read.
    """
    problems, several, images = defaultdict(list), [], {}
    largest = {"uint8": 0, "uint16": 0}
    for part, rows in found.parts.items():
        images[part] = []
        for path, _ in rows:
            name = shown(path.relative_to(found.folder))
            try:
                image, more = image_files.picture(path.read_bytes(), str(path))
            except image_files.UnreadableError as error:
                problems[str(error)].append(name)
                continue
            several += [name] if more else []
            largest[str(image.dtype)] = max(largest[str(image.dtype)], int(image.max()))
            images[part].append(image_files.fit_size(image, image_size))
    refuse(found.folder, problems)
    white = image_files.white_of(largest["uint16"])
    content = {
        "variant": f"own images: {found.folder.resolve().name}",
        "classes": found.classes,
        "max_val": len(found.parts.get("val", ())) or len(found.parts["train"]) // 5,
        "files": {
            "notes": _on_pixels(largest, white, several),
            "white": white * bool(largest["uint16"]),
        },
    }
    for part, rows in found.parts.items():
        content[f"x_{part}"] = np.stack([image_files.eight_bits(x, white) for x in images[part]])
        content[f"y_{part}"] = np.array([label for _, label in rows], dtype=np.int64)
    return content


def _on_pixels(largest: dict[str, int], white: int, several: list[str]) -> list[str]:
    """Returns notes on the largest values, by dtype, and on files with several frames."""
    notes = []
    if several:
        notes.append(
            f"{many(len(several), 'file has', 'files have')} several frames or pages, for example "
            f"{several[0]}: only the first is used"
        )
    if largest["uint16"] and white < 65535:
        notes.append(
            f"16-bit files hold values up to {largest['uint16']:,}: {white:,} is taken for white"
        )
    if 0 < largest["uint8"] < 32:
        notes.append(
            f"the largest value of all 8-bit images is {largest['uint8']} of 255, so they are "
            "almost black: are they masks?"
        )
    return notes


def refuse(folder: Path, problems: dict[str, list[str]]) -> None:
    """Refuses files that cannot be read, all in one sentence.

    Args:
        folder: of the data set.
        problems: names of the files by why they cannot be read.

    Raises:
        DataError: if there are any.
    """
    texts = [
        f"{many(len(names), 'file')} cannot be read ({why}), for example {', '.join(names[:3])}: "
        + _ADVICE.get(why, f"{_CONVERT} in{Path(names[0]).suffix or '.image'} out.png")
        for why, names in problems.items()
    ]
    if texts:
        raise DataError(f"{folder}: {'; '.join(texts)}")


def shown(path: Path) -> str:
    """Returns a path for a message of one line, whatever its name holds."""
    text = path.as_posix()
    return ascii(text) if _UNPRINTABLE.search(text) else text


def below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yields what is in a folder and its subfolders, linked ones too; of the system's the name."""
    above = (*above, folder.resolve())
    for path in sorted(folder.iterdir()):
        if image_files.is_litter(path) or not path.is_dir():
            yield path
        elif path.resolve() not in above:  # a link upwards leads nowhere new
            yield from below(path, above)


def _folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without those of the system, sorted by name."""
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not image_files.is_litter(path)
    )


def _why(path: Path) -> str:
    """Returns why a file is ignored or cannot be read; of an image to read nothing."""
    if image_files.is_litter(path):
        return SYSTEM
    if path.is_symlink() and not path.exists():
        return _LOST
    if not path.is_file():
        return _IRREGULAR
    head = image_files.head(path)
    if head.startswith(b"version https://git-lfs"):
        return _LFS
    other = image_files.format_of(path.name, head)
    return NOT_IMAGES if other is None else other


def _places(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Returns the folders that hold class folders, by part, and the other folders."""
    found, places, others = _folders(folder), {}, []
    for path in found:
        part = next((part for part, names in PARTS.items() if path.name.lower() in names), None)
        if part and part not in places:
            places[part] = path
        else:
            others.append(path)
    if len(others) == 1 and not places and _folders(others[0]):
        raise DataError(f"{folder} holds only a folder with folders; give {others[0]}")
    if others and not places:
        return {"train": folder}, []
    if "train" not in places:
        raise DataError(
            f"{folder}: expected a folder with train/<class>/ and test/<class>/, or with class "
            "folders alone"
        )
    if images := [path for other in others for path in below(other) if not _why(path)]:
        parts = ", ".join(f"{path.name}/" for path in places.values())
        raise DataError(
            f"{folder}: {images[0].relative_to(folder).parts[0]!r} holds images and lies beside "
            f"the parts of a set ({parts}); put its images into them or move it elsewhere"
        )
    if "test" not in places and "val" in places:
        places["test"] = places.pop("val")
    return {part: places[part] for part in PARTS if part in places}, others


def _classes(folder: Path, places: dict[str, Path]) -> list[str]:
    """Returns the names of the classes, after checking that all parts have the same."""
    of_part = {place.name: [path.name for path in _folders(place)] for place in places.values()}
    train = of_part[places["train"].name]
    for part, names in of_part.items():
        if not names:
            raise DataError(
                f"{folder}: {part}/ has no class folder; put the images of each class into a "
                f"folder, or move {part}/ elsewhere"
            )
        if set(names) != set(train):
            raise DataError(f"{folder}: {_difference(of_part, places['train'].name, part)}")
    if len(train) == 1:
        raise DataError(f"{folder} has 1 class ({train[0]}); give 2 or more")
    seen = {_as_seen(name): name for name in train}
    for name in train:
        if (twin := seen[_as_seen(name)]) != name:
            raise DataError(
                f"{folder}: the class folders {name!a} and {twin!a} look the same; rename one"
            )
    for name in (folder.resolve().name, *train):
        if _UNPRINTABLE.search(name):
            raise DataError(f"the folder name {name!a} cannot be shown on a page; rename it")
    return train


def _as_seen(name: str) -> str:
    """Returns a name without what no reader sees: space around it, how its accents are stored."""
    return unicodedata.normalize("NFC", name.strip())


def _difference(classes: dict[str, list[str]], train: str, part: str) -> str:
    """Says which classes of the training folder another one lacks, and the other way round."""
    lacks = {
        one: [name for name in classes[other] if name not in classes[one]]
        for one, other in ((part, train), (train, part))
    }
    text = " and ".join(
        f"{one}/ lacks {', '.join(map(repr, names[:3]))}"
        + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for one, names in lacks.items()
        if names
    )
    for a, b in product(*lacks.values()):
        if _as_seen(a).casefold() == _as_seen(b).casefold():
            why = "letter case, the space around them or how accents are stored"
            return f"{text}, where {a!a} and {b!a} differ only in {why}; give them one name"
    return f"{text}; give all parts the same classes"


def _beside(places: list[Path], unused: list[Path]) -> list[Path]:
    """Returns the files beside class folders, images first."""
    paths = [path for other in unused for path in below(other)]
    for place in dict.fromkeys(places):
        paths += [x for x in place.iterdir() if image_files.is_litter(x) or not x.is_dir()]
    return sorted(paths, key=lambda path: (_why(path), path))


def _check_counts(
    folder: Path, places: dict, classes: list[str], parts: dict, digest_of: dict, notes: list[str]
) -> None:
    """Refuses class folders with too few images to draw from."""
    # Where a part is drawn, copies stay together.
    least, ones = (2, "") if "test" in places else (3, "different ones ")
    few = []
    for part, place in places.items():
        images = {(digest_of[x] if ones else x, y) for x, y in parts[part]}
        counts = Counter(label for _, label in images)
        few += [
            f"{shown((place / name).relative_to(folder))}/ has {many(counts[label], 'image')}"
            for label, name in enumerate(classes)
            if counts[label] < least
        ]
    if few:
        more = f" and {len(few) - 3} more have too few" if len(few) > 3 else ""
        text = ", and ".join([", ".join(few[:3]) + more, *notes])
        raise DataError(f"{folder}: {text}; give {least} {ones}or more")


def _held_out(rows: list, digest_of: dict[Path, str]) -> tuple[list, list]:
    """Splits off a fifth of each class, one image or more, for the test; copies stay together."""
    rng = np.random.default_rng(_HELD_OUT_SEED)
    different = defaultdict(dict)  # as a set, in order
    for path, label in rows:
        different[label][digest_of[path]] = None
    test = set()
    for label, contents in different.items():
        drawn = rng.permutation(len(contents))[: max(1, round(len(contents) / 5))]
        test |= {(label, list(contents)[index]) for index in drawn}
    split = [], []
    for path, label in rows:
        split[(label, digest_of[path]) in test].append((path, label))
    return split


def _on_subfolders(train: Path, classes: list[str]) -> list[str]:
    """Warns of subfolders that may be parts or classes: so named, or the same in all classes."""
    inner = [{path.name for path in _folders(train / name)} for name in classes]
    parts = {name for name in set.union(*inner) if name.lower() in chain(*PARTS.values())}
    if not (odd := sorted(parts | set.intersection(*inner))):
        return []
    return [
        f"class folders have subfolders ({', '.join(map(repr, odd[:3]))}) whose images are put "
        "together; if those are parts or classes, arrange the set as train/<class>/ and "
        "test/<class>/"
    ]


def _on_copies(folder: Path, parts: dict, digest_of: dict[Path, str]) -> list[str]:
    """Warns of files that are in two parts or classes."""
    where = defaultdict(set)
    for part, rows in parts.items():
        for path, label in rows:
            where[digest_of[path]].add((part, label))
    found = {
        f"in both parts, {one} and {other}": [
            path
            for path, _ in parts[other]
            if {one, other} <= {x for x, _ in where[digest_of[path]]}
        ]
        for one, other in combinations(parts, 2)
    }
    found["in more than one class"] = [
        path for path, digest in digest_of.items() if len({y for _, y in where[digest]}) > 1
    ]
    return [
        f"{many(len(paths), 'file is', 'files are')} {what}, for example "
        f"{shown(paths[0].relative_to(folder))}"
        for what, paths in found.items()
        if paths
    ]
