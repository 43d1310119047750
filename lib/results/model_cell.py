"""Builds an experiment's network by its notebook's model cell, the only source of it."""

import ast
from types import SimpleNamespace
from typing import Any

from lib.errors import LadderError, ModelError
from lib.results import parameters


def build(
    slug: str, *, classes: int = 10, image_size: int = 32, weights: Any = None, **values: Any
) -> Any:
    """Executes the cell tagged ``model`` of a notebook, outside of it.

    The cell may use what the notebook imports, its parameters, ``images`` (``classes`` and
    ``image_size``) and ``weights``.

    Args:
        slug: the notebook, e.g. ``"00_base_cnn"``.
        classes: how many classes the images have.
        image_size: height and width of the images, pixels.
        weights: `lib.pretrained.Weights`, or None for random ones.
        **values: parameters that replace the notebook's.

    Returns:
        The Keras model, not compiled.

    Raises:
        ModelError: if the notebook has no such cell, or it fails.
    """
    path = parameters.notebook_path(slug)
    cells = [code for tags, code in parameters.code_cells(path) if "model" in tags]
    if len(cells) != 1:
        raise ModelError(f"{path.name} has {len(cells)} cells tagged 'model', expected 1")
    names: dict[str, Any] = parameters.check(slug, values) | {
        "images": SimpleNamespace(classes=tuple(range(classes)), image_size=image_size),
        "weights": weights,
    }
    statements = [node for tree in parameters.working_trees(path) for node in tree.body]
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    try:
        for tree in (ast.Module(imports, []), ast.parse(cells[0])):
            exec(compile(tree, path.name, "exec"), names)
    except LadderError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model cell of {path.name} fails: {type(error).__name__}: {error}"
        ) from error
    if "model" not in names:
        raise ModelError(f"the model cell of {path.name} does not set `model`")
    return names["model"]
