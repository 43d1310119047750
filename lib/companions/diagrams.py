"""Diagrams of networks, drawn from the Keras models themselves, so that they cannot differ."""

from matplotlib.figure import Figure

from lib import models
from lib.engine import keras
from lib.plots import BLUE, GRAY, GREEN, ORANGE, new_figure, styled

layers = keras.layers

_COLORS = (
    (layers.Conv2D, BLUE),
    (layers.Dense, ORANGE),
    ((layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D), GREEN),
    (layers.Layer, GRAY),
)


def _color(layer: keras.Layer) -> str:
    return next(color for kind, color in _COLORS if isinstance(layer, kind))


def _inputs(layer: keras.Layer) -> list:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def label(layer: keras.Layer) -> str:
    """Returns the text of a layer's box, e.g. ``"Conv 3×3, 64, /2"``."""
    kind = type(layer).__name__
    if kind in ("Conv2D", "MaxPooling2D", "AveragePooling2D"):
        height, width = layer.kernel_size if kind == "Conv2D" else layer.pool_size
        filters = f", {layer.filters}" if kind == "Conv2D" else ""
        stride = f", /{layer.strides[0]}" if layer.strides[0] > 1 else ""
        name = {"Conv2D": "Conv", "MaxPooling2D": "Max pool"}.get(kind, "Avg pool")
        return f"{name} {height}×{width}{filters}{stride}"
    names = {"BatchNormalization": "BN", "Concatenate": "concatenate", "Add": "+"}
    return (names | {"InputLayer": "input"}).get(kind, kind)


def _arrow(axis, start: tuple[float, float], end: tuple[float, float], boxes) -> None:
    """Draws a connection. One that skips rows goes around the boxes between."""
    (x, y), (to_x, to_y) = start, end
    way = [(x, y + 0.3), (to_x, to_y - 0.3)]
    if to_y - y > 1 and to_x != x:  # down in its own column first
        way.insert(1, (x, to_y - 0.75))
    elif any(column == x and y < row < to_y for column, row in boxes):
        way = [(x - 0.9, y), (x - 1.15, y), (x - 1.15, to_y), (x - 0.9, to_y)]
    axis.plot(*zip(*way[:-1], strict=True), color=GRAY, linewidth=1.2)
    arrow = {"arrowstyle": "->", "color": GRAY, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", way[-1], way[-2], arrowprops=arrow)


@styled
def blocks(drawn: dict[str, keras.Model]) -> Figure:
    """Shows small networks as graphs, from the input at the top to the output at the bottom.

    Args:
        drawn: networks by title.
    """
    places = {title: _layout(model) for title, model in drawn.items()}
    widths = [1.2 + max(abs(x) for x, _ in place.values()) for place in places.values()]
    depth = max(y for place in places.values() for _, y in place.values())
    size = (1.15 * sum(widths) + 0.6, 0.5 * depth + 1.2)
    figure, axes = new_figure(*size, ncols=len(drawn), width_ratios=widths)
    for axis, (title, model), width in zip(axes, drawn.items(), widths, strict=True):
        place = places[title]
        producer = {id(layer.output): layer.name for layer in model.layers}
        for layer in model.layers[1:]:
            for tensor in _inputs(layer):
                _arrow(axis, place[producer[id(tensor)]], place[layer.name], place.values())
        for layer in model.layers:
            x, y = place[layer.name]
            axis.barh(y, 1.75, left=x - 0.875, height=0.6, color=_color(layer), zorder=2)
            axis.text(x, y, label(layer), ha="center", va="center", color="white", fontsize=7.5)
        axis.set_xlim(-width, width)
        axis.set_ylim(depth + 0.6, -0.6)
        axis.set_axis_off()
        axis.set_title(title, fontsize=10)
    return figure


def _layout(model: keras.Model) -> dict[str, tuple[float, float]]:
    """Returns the place of each layer: column by path, row by the longest way from the input."""
    forks: dict[int, list[str]] = {}  # tensor: the layers whose only input it is
    for layer in model.layers[1:]:
        if len(_inputs(layer)) == 1:
            forks.setdefault(id(layer.input), []).append(layer.name)
    place = {model.layers[0].name: (0.0, 0)}
    spots = {id(model.layers[0].output): (0.0, 0)}
    for layer in model.layers[1:]:
        columns, rows = zip(*(spots[id(tensor)] for tensor in _inputs(layer)), strict=True)
        column = (min(columns) + max(columns)) / 2  # in the middle where paths meet
        siblings = forks[id(layer.input)] if len(columns) == 1 else [layer.name]
        column += 2.0 * (siblings.index(layer.name) - (len(siblings) - 1) / 2)
        place[layer.name] = spots[id(layer.output)] = (column, max(rows) + 1)
    return place


@styled
def networks(drawn: dict[str, list[dict]]) -> Figure:
    """Shows whole networks as rows of stages; a stage with larger maps is taller.

    Each stage shows the number of its convolutions and dense layers, and below it its output.

    Args:
        drawn: results of `stages`, by title.
    """
    figure, axes = new_figure(7.5, 1.15 * len(drawn), nrows=len(drawn))
    for axis, (title, found) in zip(axes, drawn.items(), strict=True):
        for place, stage in enumerate(found):
            tall = 0.5 + 0.5 * stage["share"] ** 0.5
            axis.bar(place, tall, bottom=-tall / 2, color=stage["color"])
            text = f"{stage['name']}\n{stage['weighted'] or ''}".strip()
            axis.text(place, 0, text, ha="center", va="center", color="white", fontsize=8)
            axis.text(place, -0.55, stage["output"], ha="center", va="top", fontsize=7.5)
        axis.set_xlim(-0.5, max(map(len, drawn.values())) - 0.5)
        axis.set_ylim(-0.8, 0.55)
        axis.set_axis_off()
        axis.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=2)
    return figure


_SHORT = {"avg": "average", "predictions": "output"}
_LEFT_OUT = ("flatten", "dropout", "bn", "relu")


def stages(model: keras.Model) -> list[dict]:
    """Groups a network's layers by the first part of their names; poolings join the stage before.

    Returns:
        Per stage ``name``, ``weighted`` (number of convolutions and dense layers), ``share``
        (height of the output over that of the input), ``output`` (its shape, as text) and
        ``color``.
    """
    found: list[dict] = []
    for layer in model.layers[1:]:
        name = layer.name.split("_")[0].rstrip("abcde")  # inception3a and 3b are one stage
        if name in _LEFT_OUT:
            continue
        name = found[-1]["name"] if name.startswith("pool") else _SHORT.get(name, name)
        if not found or found[-1]["name"] != name:
            found.append({"name": name, "weighted": 0})
        stage, shape = found[-1], layer.output.shape[1:]
        weighted = models.layer_macs(layer) > 0
        if weighted or not stage["weighted"]:
            stage["color"] = _color(layer)
        stage["weighted"] += weighted
        stage["share"] = (shape[0] if len(shape) == 3 else 1) / model.input_shape[1]
        stage["output"] = "×".join(map(str, shape))
    return found
