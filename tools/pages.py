"""Gives the pages of the run of record the words of today: `python tools/pages.py`.

A page shows its notebook, and a notebook's texts and comments may be improved after its run. What
the run printed and drew stays as it is. Where code has changed, the run is to be done again.
"""

import re
import sys
import tempfile
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lib import cache, export, parameters, run

CELL = re.compile(r'(?=<div class="cell [^>]*id="cell-id=)|(?=</main>)')
OUTPUT = '<div class="output_wrapper">'


def refresh(pages: Path, target: Path) -> None:
    """Writes all pages of a report anew, with the words that their notebooks have now.

    Args:
        pages: a report's folder ``notebooks``.
        target: the folder to write to; may be the same.
    """
    for page in sorted(pages.glob("*.html")):
        text = reworded(page)
        with cache.atomic_file(target / page.name) as part:
            part.write_text(text, encoding="utf-8")
    export.connect(target)


def reworded(page: Path) -> str:
    """Returns a page with the words that its notebook has now, and its own parameters and outputs.

    Args:
        page: ``<slug>-<profile>-seed<k>.html`` in a report's folder ``notebooks``.

    Raises:
        ValueError: if the notebook has other cells of code than the page.
    """
    slug = page.stem.split("-")[0]
    before = _cells(page.read_text(encoding="utf-8"))
    code = [name for name, cell in before.items() if " code_cell " in cell]
    notebook = nbformat.read(parameters.notebook_path(slug), as_version=4)
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    injected = nbformat.v4.new_code_cell(id=code[code.index("parameters") + 1])
    place = [cell.id for cell in notebook.cells].index("parameters")
    notebook.cells.insert(place + 1, injected)
    if code != [cell.id for cell in notebook.cells if cell.cell_type == "code"]:
        raise ValueError(f"{page.name}: notebooks/{slug}.ipynb has other code now; run it again.")
    for cell in notebook.cells:
        if OUTPUT in before.get(cell.id, ""):
            cell.outputs = [nbformat.v4.new_output("stream", text="\n")]
    with tempfile.TemporaryDirectory() as folder:
        export.page(notebook, Path(folder) / page.name, **run.around(page))
        now = _cells((Path(folder) / page.name).read_text(encoding="utf-8"))
    for name in code:
        head, mark, output = before[name].partition(OUTPUT)
        now[name] = (head if name == injected.id else now[name].split(OUTPUT)[0]) + mark + output
    return "".join(now.values())


def _cells(page: str) -> dict[str, str]:
    """Returns the HTML of a page's cells by id, and what is before and after them by itself."""
    parts = CELL.split(page)
    return {(re.search(r"(?<=cell-id=)[\w-]+", part) or [part])[0]: part for part in parts}


if __name__ == "__main__":
    refresh(run.OF_RECORD / "notebooks", run.OF_RECORD / "notebooks")
