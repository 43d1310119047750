"""A data set of the reader's own: how its folders are laid out, and an account of its files.

Classes are folders, in ``train/``, ``test/`` and ``val/``, or alone where there is no split.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
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
"""Why a file is ignored."""

_LOST = "link whose target is missing"
_ADVICE = {
    _LOST: "get them, for example with git annex get or dvc pull",
    "Git LFS pointer": "get them with git lfs pull",
    image_files.DAMAGED: "replace or remove them",
    "cut off": "replace or remove them",
    "no regular file": "remove them",
}
_CONVERT = "convert them to 8-bit or 16-bit PNG or JPEG, for example with ImageMagick: magick "

_HELD_OUT_SEED = 0  # which images are the test part must not change with the run's seed

Problems = dict[str, list[str]]
"""Names of files that cannot be read, by reason."""


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


def many(count: int, noun: str) -> str:
    """Writes a number with its noun: ``1 image``, ``2 classes``."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun if count == 1 else plural}"


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
    first = f"{name}: {many(files['found'], 'file')} found, {files['read']:,} read ({parts})"
    warnings = [f"Warning: {text}." for text in files["warnings"]]
    notes = [f"Note: {text}." for text in files["notes"]]
    return [f"{first}, ignored: {ignored or 'none'}.", *warnings, *notes]


def survey(folder: Path) -> Survey:
    """Finds the classes and images of a folder and accounts for all of its files.

    Args:
        folder: with ``train/<class>/``, ``test/<class>/`` and ``val/<class>/``, or class folders.

    Raises:
        DataError: if the folder's layout, its classes or one of its files cannot be used.
    """
    try:
        return _Surveyor(folder).survey()
    except OSError as error:
        raise DataError(
            f"{folder}: {shown(Path(error.filename or folder))} cannot be read "
            f"({error.strerror}); make it readable or remove it"
        ) from error


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
            f"{_files(several, 'has', 'have')} several frames or pages, for example "
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


def refuse(folder: Path, problems: Problems) -> None:
    """Refuses files that cannot be read, all in one sentence.

    Raises:
        DataError: if there are any.
    """
    texts = []
    for why, names in problems.items():
        suffix = Path(names[0]).suffix or ".image"
        advice = _ADVICE.get(why, f"{_CONVERT}in{suffix} out.png")
        what = "images"
        if len(names) == 1:
            what, advice = "an image", advice.replace("them", "it")
        texts.append(
            f"{many(len(names), 'file')} cannot be read as {what} ({why}), for example "
            f"{', '.join(names[:3])}: {advice}"
        )
    if texts:
        raise DataError(f"{folder}: {'; '.join(texts)}")


def shown(path: Path) -> str:
    """Returns a path for a message of one line, whatever its name holds."""
    text = path.as_posix()
    return text if _is_plain(text) else ascii(text)


def _is_plain(text: str) -> bool:
    """Returns whether a text can be shown: no line break, no byte that is no letter."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text)


def _files(names: list, one: str, more: str) -> str:
    """Writes how many files do something: ``1 file is …``, ``2 files are …``."""
    return f"{many(len(names), 'file')} {one if len(names) == 1 else more}"


def _folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without those of the system, sorted by name."""
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not image_files.is_litter(path)
    )


def below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yields what is in a folder and its subfolders, linked ones too; of the system's the name."""
    above = (*above, folder.resolve())
    for path in sorted(folder.iterdir()):
        if image_files.is_litter(path) or not path.is_dir():
            yield path
        elif path.resolve() not in above:  # a link upwards leads nowhere new
            yield from below(path, above)


def _is_lost(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _is_image(path: Path) -> bool:
    """Returns whether a file beside class folders was meant as an image, rather than to be read."""
    return image_files.format_of(path.name, image_files.head(path)) not in (None, "PDF", "SVG")


def _as_seen(name: str) -> str:
    """Returns a name without what no reader sees: space around it, how its accents are stored."""
    return unicodedata.normalize("NFC", name.strip())


def _difference(places: dict[str, Path], names: dict[str, list[str]], part: str) -> str:
    """Says which classes of the training part another one lacks, and the other way round."""
    lacks = {
        part: [name for name in names["train"] if name not in names[part]],
        "train": [name for name in names[part] if name not in names["train"]],
    }
    texts = [
        f"{places[one].name}/ lacks {', '.join(map(repr, missing[:3]))}"
        + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        for one, missing in lacks.items()
        if missing
    ]
    for a, b in product(*lacks.values()):
        if _as_seen(a).casefold() == _as_seen(b).casefold():
            why = "the space around it" if a.strip() == b.strip() else "how accents are stored"
            why = why if _as_seen(a) == _as_seen(b) else "letter case"
            texts[-1] += f", where {a!a} and {b!a} differ in {why}"
            break
    return " and ".join(texts)


class _Surveyor:
    """Walks a folder once and keeps count."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.problems: Problems = defaultdict(list)
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.ignored: dict[str, list[Path]] = {NOT_IMAGES: [], SYSTEM: [], OUTSIDE: []}
        self.rows: list[dict] = []

    def survey(self) -> Survey:
        places = self._places()
        classes = self._classes(places)
        parts = {}
        for part, place in places.items():
            parts[part] = []
            for label, name in enumerate(classes):
                before = {why: len(paths) for why, paths in self.ignored.items()}
                files = sorted(self._walk(place / name), key=lambda path: path.parts)
                row = {"part": part, "class": name, "found": len(files), "read": len(files)}
                for why, paths in self.ignored.items():
                    if more := len(paths) - before[why]:
                        row |= {why: more, "found": row["found"] + more}
                self.rows.append(row)
                parts[part] += [(file, label) for file in files]
        self._look_outside(places)
        refuse(self.folder, self.problems)
        files = [file for file, _ in chain(*parts.values())]
        contents = image_files.content_digests(self.folder, files)
        digest_of = {file: contents[str(file.relative_to(self.folder))] for file in files}
        where = {part: f"{place.relative_to(self.folder)}/" for part, place in places.items()}
        where = {part: "" if name == "./" else name for part, name in where.items()}
        if "test" in places:
            counts = {f"{where[row['part']]}{row['class']}/": row["read"] for row in self.rows}
            self._check_counts(counts, 2)
        else:
            self._hold_out(parts, digest_of, where["train"])
        self._compare(parts, digest_of)
        return Survey(self.folder, classes, parts, digests.of_json(contents), self._account())

    # --- the layout ---

    def _places(self) -> dict[str, Path]:
        """Returns the folders that hold class folders, by part."""
        found, places = _folders(self.folder), defaultdict(list)
        for path in found:
            part = next((x for x, names in PARTS.items() if path.name.lower() in names), None)
            places[part].append(path)
        others = places.pop(None, [])
        if len(found) == 1 and not places and _folders(found[0]):
            raise DataError(f"{self.folder} holds only a folder with folders; give {found[0]}")
        if not found:
            raise DataError(
                f"{self.folder}: expected a folder with train/<class>/ and test/<class>/, or with "
                "class folders alone"
            )
        if not places:
            return {"train": self.folder}
        for part, same in places.items():
            if len(same) > 1:
                names = " and ".join(f"{path.name}/" for path in same)
                raise DataError(f"{self.folder}: {names} both mean {part}; keep or rename one")
        if with_images := [path for path in others if self._has_image(path)]:
            parts = ", ".join(same[0].name for same in places.values())
            names = ", ".join(repr(path.name) for path in with_images[:3])
            raise DataError(
                f"{self.folder}: parts of a set ({parts}) and other folders with images ({names}) "
                "lie side by side; put the class folders into the parts, or rename or move one kind"
            )
        if "train" not in places:
            _, (beside, *_) = places.popitem()
            raise DataError(f"{self.folder}: expected train/<class>/ beside {beside.name}/")
        if "test" not in places and "val" in places:
            places["test"] = places.pop("val")
            self.notes.append(
                f"there is no test folder, so {places['test'][0].name}/ is the test part and "
                "validation images are drawn from the training images"
            )
        return {p: places[p][0] for p in PARTS if p in places}

    def _has_image(self, folder: Path) -> bool:
        """Returns whether a folder holds an image at any depth; if not, its files are ignored."""
        if any(map(_is_image, files := list(below(folder)))):
            return True
        self.ignored[OUTSIDE] += files
        self.notes.append(f"{shown(Path(folder.name))}/ is not used, because it holds no image")
        return False

    # --- the classes ---

    def _classes(self, places: dict[str, Path]) -> list[str]:
        """Returns the names of the classes, after checking that all parts have the same."""
        names = {part: [path.name for path in _folders(place)] for part, place in places.items()}
        for name in (self.folder.resolve().name, *chain(*names.values())):
            if not _is_plain(name):
                raise DataError(f"the folder name {name!a} cannot be shown on a page; rename it")
        for part, found in names.items():
            self._check_names(places[part], found)
        for part, found in names.items():
            if set(found) != set(names["train"]):
                raise DataError(
                    f"{self.folder}: {_difference(places, names, part)}; give all parts the same "
                    "classes"
                )
        if len(names["train"]) < 2:
            only = "".join(f" ({name})" for name in names["train"])
            raise DataError(
                f"{self.folder} has {many(len(names['train']), 'class')}{only}; give 2 or more"
            )
        inner = [{path.name for path in _folders(places["train"] / x)} for x in names["train"]]
        parts = {x for x in set.union(*inner) if x.lower() in chain(*PARTS.values())}
        if odd := sorted(parts | set.intersection(*inner)):
            self.warnings.append(
                f"class folders have subfolders ({', '.join(map(repr, odd[:3]))}) whose images "
                "are put together; if those are parts or classes, arrange the set as "
                "train/<class>/ and test/<class>/"
            )
        return names["train"]

    def _check_names(self, place: Path, names: list[str]) -> None:
        """Refuses class names that look the same on a page; "a" and "A" may be two letters."""
        loose = [
            path for path in place.iterdir() if path.is_file() and not image_files.is_litter(path)
        ]
        if not names and loose:
            raise DataError(
                f"{self.folder}: {place.name}/ has {many(len(loose), 'file')} and no class folder; "
                "put the images of each class into a folder, or rename what is no part"
            )
        seen = {}
        for name in names:
            twin = seen.setdefault(_as_seen(name), name)
            if twin != name:
                raise DataError(
                    f"{self.folder}: the class folders {twin!a} and {name!a} look the same; "
                    "rename one or put their images together"
                )

    def _check_counts(self, counts: dict[str, int], least: int) -> None:
        """Refuses class folders with too few images to draw from."""
        few = [f"{x} has {many(count, 'image')}" for x, count in counts.items() if count < least]
        if few:
            more = f" and {len(few) - 3} more have too few" if len(few) > 3 else ""
            others = self.ignored[NOT_IMAGES]
            if others:
                are = _files(others, "is not an image", "are not images")
                more += f", and {are}, for example {self._name(others[0])}"
            raise DataError(f"{self.folder}: {', '.join(few[:3])}{more}; give {least} or more")

    # --- the files ---

    def _walk(self, folder: Path) -> list[Path]:
        """Returns the images in a class folder, at any depth, and counts the other files."""
        images = []
        for path in below(folder):
            name = self._name(path)
            if image_files.is_litter(path):
                self.ignored[SYSTEM].append(path)
            elif _is_lost(path):
                self.problems[_LOST].append(name)
            elif not path.is_file():
                self.problems["no regular file"].append(name)
            elif (head := image_files.head(path)).startswith(b"version https://git-lfs"):
                self.problems["Git LFS pointer"].append(name)
            elif (other := image_files.format_of(path.name, head)) is None:
                self.ignored[NOT_IMAGES].append(path)
            elif other:
                self.problems[other].append(name)
            else:
                images.append(path)
        return images

    def _look_outside(self, places: dict[str, Path]) -> None:
        """Counts the files beside class folders."""
        loose = []
        for place in dict.fromkeys([self.folder, *places.values()]):
            for path in sorted(place.iterdir()):
                if image_files.is_litter(path):
                    self.ignored[SYSTEM].append(path)
                elif _is_lost(path):
                    self.problems[_LOST].append(self._name(path))
                elif not path.is_dir():
                    loose.append(path)
        self.ignored[OUTSIDE] += loose
        if images := list(filter(_is_image, loose)):
            are = _files(images, "is an image", "are images")
            self.notes.append(
                f"{are} outside of class folders and not used, for example {self._name(images[0])}"
            )
        if others := self.ignored[NOT_IMAGES]:
            are = _files(others, "is not an image and is", "are not images and are")
            self.notes.append(f"{are} ignored, for example {self._name(others[0])}")

    def _hold_out(self, parts: dict, digest_of: dict[Path, str], where: str) -> None:
        """Moves a fifth of each class, one image or more, to a test part; copies stay together."""
        rng = np.random.default_rng(_HELD_OUT_SEED)
        train, test, rows, counts = [], [], [], {}
        for label, row in enumerate(self.rows):
            files = [file for file, of in parts["train"] if of == label]
            different = list(dict.fromkeys(digest_of[file] for file in files))
            counts[f"{where}{row['class']}/"] = len(different)
            drawn = rng.permutation(len(different))[: max(1, round(len(different) / 5))]
            held_out = {different[index] for index in drawn}
            for file in files:
                (test if digest_of[file] in held_out else train).append((file, label))
            count = sum(digest_of[file] in held_out for file in files)
            row["found"], row["read"] = row["found"] - count, row["read"] - count
            rows.append({"part": "test", "class": row["class"], "found": count, "read": count})
        self._check_counts(counts, 3)
        self.rows += rows
        parts |= {"train": train, "test": test}
        self.notes.append(
            f"there is no test folder, so {many(len(test), 'image')}, a fifth of each class, "
            f"{'is' if len(test) == 1 else 'are'} held out as the test part, the same in every run"
        )

    def _compare(self, parts: dict, digest_of: dict[Path, str]) -> None:
        """Warns of files that are in two parts or classes, and notes those that are there twice."""
        contents = {part: {digest_of[file] for file, _ in rows} for part, rows in parts.items()}
        for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
            files = [f for f, _ in parts.get(other, ()) if digest_of[f] in contents.get(one, ())]
            if files:
                self.warnings.append(
                    f"{_files(files, 'is', 'are')} in both parts, {one} and {other}, for example "
                    f"{self._name(files[0])}, so the accuracy on {other} images comes out too high"
                )
        labels = defaultdict(set)
        for file, label in chain(*parts.values()):
            labels[digest_of[file]].add(label)
        if files := [file for file, digest in digest_of.items() if len(labels[digest]) > 1]:
            self.warnings.append(
                f"{_files(files, 'is', 'are')} in more than one class, for example "
                f"{self._name(files[0])}"
            )
        if copies := len(parts["train"]) - len(contents["train"]):
            what = "is a copy" if copies == 1 else "are copies"
            self.notes.append(f"{many(copies, 'training file')} {what} of others")

    def _name(self, path: Path) -> str:
        return shown(path.relative_to(self.folder))

    def _account(self) -> dict:
        ignored = {why: len(paths) for why, paths in self.ignored.items() if paths}
        read = sum(row["read"] for row in self.rows)
        return {
            "found": read + sum(ignored.values()),
            "read": read,
            "ignored": ignored,
            "classes": self.rows,
            "notes": self.notes,
            "warnings": self.warnings,
        }
