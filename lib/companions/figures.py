"""Figures and tables that several companion notebooks show."""

import numpy as np
from matplotlib.figure import Figure

from lib import tables
from lib.plots import BLUE, GRAY, GREEN, ORANGE, new_figure, styled


def show_table(rows: list[dict]) -> None:
    """Displays rows as a table.

    Args:
        rows: dictionaries with the same keys, which become the columns; accuracies from 0 to 1.
    """
    from IPython.display import display

    display(tables.Table(rows))


@styled
def predictions(pictures: dict[str, np.ndarray], rows: list[dict]) -> Figure:
    """Shows each picture beside the probabilities of its most probable classes.

    Args:
        pictures: uint8 (h, w, 3), by name.
        rows: ``picture`` (its name), ``class`` and ``probability``, the highest first.
    """
    count = len(pictures)
    figure, axes = new_figure(
        6.4, 1.5 * count + 0.3, nrows=count, ncols=2, width_ratios=(1, 3), squeeze=False
    )
    for (left, right), (name, picture) in zip(axes, pictures.items(), strict=True):
        left.imshow(picture, interpolation="nearest")
        left.set_axis_off()
        best = [row for row in rows if row["picture"] == name]
        probabilities = [100 * row["probability"] for row in best]
        _draw_bars(right, [row["class"][:28] for row in best], probabilities)
        right.set_xlim(0, 108)
        right.set_ylabel("class")
    axes[-1, 1].set_xlabel("probability (%)")
    return figure


@styled
def bars(values: dict[str, float], *, x_label: str, y_label: str) -> Figure:
    """Shows one horizontal bar per name, with its value."""
    figure, (axis,) = new_figure(7, 0.38 * len(values) + 1)
    _draw_bars(axis, list(values), list(values.values()))
    axis.margins(x=0.12)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    return figure


def _draw_bars(axis, names: list[str], values: list[float]) -> None:
    drawn = axis.barh(range(len(names)), values, color=BLUE)
    axis.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.invert_yaxis()


@styled
def lines(
    places: list,
    series: dict[str, list[float]],
    *,
    x_label: str,
    y_label: str,
    connected: bool = True,
) -> Figure:
    """Shows up to four series over the same places.

    Args:
        places: numbers or names, at equal distances on the x-axis.
        series: values by name.
        x_label, y_label: with units.
        connected: whether lines connect the values, for places that have an order.
    """
    figure, (axis,) = new_figure(7 if connected else 9, 3.6)
    styles = zip(series.items(), (BLUE, ORANGE, GREEN, GRAY), "os^D", strict=False)
    for (name, values), color, marker in styles:
        style = "-" if connected else "none"
        axis.plot(values, color=color, marker=marker, linestyle=style, label=name)
    axis.set_xticks(range(len(places)), places)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.legend()
    return figure


@styled
def maps(tensor: np.ndarray, *, columns: int = 32) -> Figure:
    """Shows all channels of a feature map as gray tiles on one scale; 0 and less is black.

    White is the 99th percentile, so that one strong channel does not darken the others.

    Args:
        tensor: float (height, width, channels).
        columns: tiles per row, at most.
    """
    channels = np.maximum(tensor, 0).transpose(2, 0, 1)
    columns = min(columns, len(channels))
    figure, (axis,) = new_figure(9, 9 * -(-len(channels) // columns) / columns + 0.6)
    white = float(np.percentile(channels, 99)) or float(channels.max()) or 1.0
    canvas = tiles(channels, columns=columns, gap=white)
    image = axis.imshow(canvas, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    axis.set_axis_off()
    label = "activation (white: 99th percentile and above)"
    figure.colorbar(image, ax=axis, label=label, shrink=0.6, extend="max")
    return figure


def tiles(images: np.ndarray, *, columns: int, gap: float = 1.0) -> np.ndarray:
    """Joins small images into one, in reading order, with lines of one pixel between them.

    Args:
        images: float (n, h, w) or (n, h, w, 3).
        columns: images per row.
        gap: value of the lines and of empty places.

    Returns:
        Float (rows × (h + 1) − 1, columns × (w + 1) − 1) or the same with three colors.
    """
    count, height, width, *colors = images.shape
    rows = -(-count // columns)
    canvas = np.full((rows * columns, height + 1, width + 1, *colors), gap)
    canvas[:count, :-1, :-1] = images
    canvas = canvas.reshape(rows, columns, height + 1, width + 1, *colors).swapaxes(1, 2)
    return canvas.reshape(rows * (height + 1), columns * (width + 1), *colors)[:-1, :-1]
