"""Diagrams of networks, drawn from the Keras models themselves, so that they cannot differ."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from lib import models
from lib.engine import keras
from lib.plots import BLUE, GRAY, GREEN, ORANGE, styled

layers = keras.layers

_COLORS = (
    (layers.Conv2D, BLUE),
    (layers.Dense, ORANGE),
    ((layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D), GREEN),
)


def _color(layer: keras.Layer) -> str:
    return next((color for kind, color in _COLORS if isinstance(layer, kind)), GRAY)


def _inputs(layer: keras.Layer) -> list:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def label(layer: keras.Layer) -> str:
    """Returns what stands in a layer's box, e.g. ``"Conv 3×3, 64, /2"``."""
    if isinstance(layer, layers.Conv2D):
        stride = f", /{layer.strides[0]}" if layer.strides[0] > 1 else ""
        return f"Conv {layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.filters}{stride}"
    if isinstance(layer, layers.MaxPooling2D | layers.AveragePooling2D):
        kind = "Max" if isinstance(layer, layers.MaxPooling2D) else "Avg"
        stride = f", /{layer.strides[0]}" if layer.strides[0] > 1 else ""
        return f"{kind} pool {layer.pool_size[0]}×{layer.pool_size[1]}{stride}"
    if isinstance(layer, layers.InputLayer):
        return "input"
    names = {"BatchNormalization": "BN", "Concatenate": "concatenate", "Add": "+"}
    return names.get(type(layer).__name__, type(layer).__name__)


def _box(axis, x: float, y: float, text: str, *, color: str, width: float) -> None:
    patch = FancyBboxPatch(
        (x - width / 2, y - 0.28),
        width,
        0.56,
        boxstyle="round,pad=0.02,rounding_size=0.1",
        facecolor=color,
        edgecolor="none",
    )
    axis.add_patch(patch)
    axis.text(x, y, text, ha="center", va="center", color="white", fontsize=7.5)


def _arrow(axis, start: tuple[float, float], end: tuple[float, float], boxes) -> None:
    """Draws a connection; one that skips rows goes beside the boxes between."""
    (x, y), (to_x, to_y) = start, end
    way = [(x, y + 0.3), (to_x, to_y - 0.3)]
    if to_y - y > 1 and to_x != x:  # down in its own column first
        way.insert(1, (x, to_y - 0.75))
    elif any(column == x and y < row < to_y for column, row in boxes):
        side = x - 1.15
        way = [(x - 0.9, y), (side, y), (side, to_y), (x - 0.9, to_y)]
    axis.plot(*zip(*way[:-1], strict=True), color=GRAY, linewidth=1.2)
    arrow = {"arrowstyle": "->", "color": GRAY, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", way[-1], way[-2], arrowprops=arrow)


@styled
def blocks(drawn: dict[str, keras.Model]) -> Figure:
    """Shows small networks as graphs, from the input at the top to the output at the bottom.

    Args:
        drawn: one block each, by title.
    """
    places = {title: _layout(model) for title, model in drawn.items()}
    widths = [1.2 + max(abs(x) for x, _ in place.values()) for place in places.values()]
    depth = max(y for place in places.values() for _, y in place.values())
    figure = Figure(figsize=(1.15 * sum(widths) + 0.6, 0.5 * depth + 1.2), layout="constrained")
    axes = figure.subplots(ncols=len(drawn), width_ratios=widths, squeeze=False)[0]
    for axis, (title, model), width in zip(axes, drawn.items(), widths, strict=True):
        place = places[title]
        producer = {id(layer.output): layer.name for layer in model.layers}
        for layer in model.layers:
            for tensor in _inputs(layer):
                if producer.get(id(tensor), layer.name) != layer.name:
                    _arrow(axis, place[producer[id(tensor)]], place[layer.name], place.values())
        for layer in model.layers:
            _box(axis, *place[layer.name], label(layer), color=_color(layer), width=1.75)
        axis.set_xlim(-width, width)
        axis.set_ylim(depth + 0.6, -0.6)
        axis.set_axis_off()
        axis.set_title(title, fontsize=10)
    return figure


def _layout(model: keras.Model) -> dict[str, tuple[float, float]]:
    """Returns the place of each layer: column by path, row by the longest way from the input."""
    forks: dict[int, list[int]] = {}  # tensor: the layers that only it enters
    for layer in model.layers[1:]:
        if len(_inputs(layer)) == 1:
            forks.setdefault(id(layer.input), []).append(id(layer))
    place = {}
    spots: dict[int, tuple[float, float]] = {}
    for layer in model.layers:
        before = [spots[id(tensor)] for tensor in _inputs(layer) if id(tensor) in spots]
        columns = [column for column, _ in before] or [0.0]
        column = (min(columns) + max(columns)) / 2  # in the middle where paths meet
        siblings = forks.get(id(layer.input), []) if len(before) == 1 else []
        if len(siblings) > 1:
            column += 2.0 * (siblings.index(id(layer)) - (len(siblings) - 1) / 2)
        row = max((row + 1 for _, row in before), default=0)
        place[layer.name] = spots[id(layer.output)] = (column, row)
    return place


@styled
def networks(drawn: dict[str, list[dict]]) -> Figure:
    """Shows whole networks as rows of stages, the taller the larger their maps.

    In each stage stands the number of its convolutions and dense layers, below it its output.

    Args:
        drawn: what `stages` returned, by title.
    """
    figure = Figure(figsize=(11, 1.25 * len(drawn)), layout="constrained")
    axes = figure.subplots(nrows=len(drawn), squeeze=False)[:, 0]
    for axis, (title, found) in zip(axes, drawn.items(), strict=True):
        for place, stage in enumerate(found):
            tall = 0.3 + 0.7 * stage["share"] ** 0.5
            box = FancyBboxPatch(
                (place, -tall / 2),
                0.8,
                tall,
                boxstyle="round,pad=0,rounding_size=0.04",
                facecolor=stage["color"],
                edgecolor="none",
            )
            axis.add_patch(box)
            text = f"{stage['name']}\n{stage['weighted'] or ''}".strip()
            axis.text(place + 0.4, 0, text, ha="center", va="center", color="white", fontsize=7)
            axis.text(place + 0.4, -0.55, stage["output"], ha="center", va="top", fontsize=6.5)
        axis.set_xlim(-0.1, max(map(len, drawn.values())))
        axis.set_ylim(-0.8, 0.55)
        axis.set_axis_off()
        axis.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=2)
    return figure


_SHORT = {"avg": "average", "predictions": "output"}
_LEFT_OUT = ("flatten", "dropout", "bn", "relu")


def stages(model: keras.Model) -> list[dict]:
    """Groups a network's layers by the first part of their names.

    Returns:
        Per stage ``name``, ``weighted`` (convolutions and dense layers), ``share`` (height of
        the output over that of the input), ``output`` (its shape, as text) and ``color``.
    """
    found: list[dict] = []
    for layer in model.layers[1:]:
        name = layer.name.split("_")[0].rstrip("abcde")  # inception3a and 3b are one stage
        if name in _LEFT_OUT:
            continue
        name = _SHORT.get(name, name)
        if not found or found[-1]["name"] != name:
            found.append({"name": name, "weighted": 0, "color": _color(layer)})
        shape = layer.output.shape[1:]
        if models.layer_macs(layer):
            found[-1] |= {"weighted": found[-1]["weighted"] + 1, "color": _color(layer)}
        elif not found[-1]["weighted"]:
            found[-1]["color"] = _color(layer)
        found[-1] |= {
            "share": (shape[0] if len(shape) == 3 else 1) / model.input_shape[1],
            "output": "×".join(map(str, shape)),
        }
    return found
