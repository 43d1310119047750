"""Writes the project's address into badges and set-up cells: `python tools/repository.py [URL]`.

The address is kept in one place, `repository-code` in CITATION.cff. A URL is written there first,
"" removes it. Without an address notebooks have no badge, and cannot be opened in Colab.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLAB = "https://colab.research.google.com"
LINE = re.compile(r"^repository-code: *(\S+)\n", re.MULTILINE)
BADGE = re.compile(r"\n\n\[!\[Open in Colab\][^\n]*")


def read() -> str:
    """Returns the address, or ``""`` while there is none."""
    found = LINE.search((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return found[1] if found else ""


def write(address: str) -> None:
    """Writes the address into CITATION.cff.

    Raises:
        SystemExit: if it is not that of a repository on GitHub, which Colab's badges need.
    """
    address = address.removesuffix("/").removesuffix(".git")
    if address and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        sys.exit(f"{address}: expected https://github.com/OWNER/NAME, or nothing")
    path = ROOT / "CITATION.cff"
    text = LINE.sub("", path.read_text(encoding="utf-8"))
    line = f"repository-code: {address}\n" if address else ""
    path.write_text(text.replace("license:", line + "license:", 1), encoding="utf-8")


def spread(address: str) -> list[Path]:
    """Writes the address into all notebooks and returns those that changed."""
    changed = []
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        notebook = json.loads(before)
        title, setup = notebook["cells"][:2]
        title["source"] = _lines(BADGE.sub("", "".join(title["source"])) + badge(path, address))
        code = "".join(setup["source"])
        setup["source"] = _lines(re.sub(r'(git clone --depth=1) ".*?"', rf'\1 "{address}"', code))
        after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def badge(path: Path, address: str) -> str:
    """Returns the badge that opens a notebook in Colab, or ``""`` without an address."""
    if not address or path.stem == "report":  # the report needs records, not a click
        return ""
    place = address.removeprefix("https://github.com/")
    opened = f"{COLAB}/github/{place}/blob/main/{path.relative_to(ROOT).as_posix()}"
    return f"\n\n[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({opened})"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(sys.argv[1])
    for notebook in spread(read()):
        print(notebook.relative_to(ROOT))
