"""Charts as the bytes of a PNG: curves, probability bars, confusion matrices; drawn by matplotlib's objects,
without pyplot's state.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neocog.errors import UsageError
from neocog.show import plotting
from neocog.show.grids import Pixels, rgb
from neocog.show.lettering import short
from neocog.show.words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG, OTHER = "blue", "red", "grey"
"""Colours of the true class, a wrong guess, and all other classes (experiment E4)."""

MOST_BARS = 20
CLOUD = 4.2
"""Width and height of one cloud of points, in inches."""
DASHES = 9.0
"""Of a broken line, a dash with the gap after it: in widths of the line."""


def curves(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    width: float = 7.5,
) -> bytes:
    """One line per name through its (x, y) points, `width` inches of picture; points that are not finite
    leave a gap. Where y lies between 0 and 1, as shares do, so does the whole axis.
    """
    figure = _figure(width, 4.5)
    axes = figure.add_subplot()
    _curves(axes, series)
    axes.set(title=short(title, 90), xlabel=short(x_label, 90), ylabel=short(y_label, 60))
    return _rendered(figure)


def training_curves(epochs: Sequence[Mapping[str, Any]]) -> bytes:
    """The task's figures (loss, accuracy) over epochs, training and held out, side by side.

    Keys of an epoch: epoch, loss, and any NAME that comes with val_NAME; what is missing is left out.
    'watched' says what val_NAME was measured on ('held out' where it is missing).
    """
    named = dict.fromkeys(key for e in epochs for key in e if f"val_{key}" in e)
    names = tuple(named) or ("loss", "accuracy")
    watched = next((e["watched"] for e in epochs if "watched" in e), "held out")
    figure = _figure(5 * len(names), 4)
    for n, what in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), n)
        keys = {"training": what, watched: f"val_{what}"}
        series = {
            name: [(float(e["epoch"]), float(e[key])) for e in epochs if e.get(key) is not None]
            for name, key in keys.items()
        }
        _curves(axes, {name: points for name, points in series.items() if points})
        axes.set(title=what, xlabel="epoch")
        if what == "loss":
            _from_zero(axes)
    return _rendered(figure)


def answer(
    picture: Pixels,
    probabilities: Sequence[float] | npt.NDArray[Any],
    names: Sequence[str],
    *,
    truth: int | None,
) -> bytes:
    """One picture titled 'TRUE (predicted PRED)', blue if right, red if wrong; beside it the bars (E4).

    Without a known truth the title is the guess, in black.
    """
    predicted = int(np.argmax(probabilities)) if len(probabilities) else 0
    shown = rgb(picture)
    figure = _figure(9, max(3.6, _bars_height(len(names))))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    _bars(right, probabilities, names, truth, predicted)
    left.imshow(shown, interpolation="nearest" if max(shown.shape) <= 256 else "antialiased")
    left.set_axis_off()
    guess = short(names[predicted], 32)
    if truth is None:
        left.set_title(f"predicted {guess}", color="black")
    else:
        title = f"{short(names[truth], 32)} (predicted {guess})"
        left.set_title(_two_lines(title, 34), color=RIGHT if truth == predicted else WRONG)
    return _rendered(figure)


def spectrum(probabilities: Sequence[float] | npt.NDArray[Any], names: Sequence[str]) -> bytes:
    """The probabilities 0..1 of all classes by number; the three likeliest are named, and two more where they
    stand free (P2).
    """
    figure = _figure(9, 3.2)
    axes = figure.add_subplot()
    values = np.asarray(probabilities, dtype=np.float64)
    axes.vlines(np.arange(len(values)), 0, values, color=OTHER, linewidth=1.2)
    axes.plot(np.arange(len(values)), values, ".", color=RIGHT, markersize=2.5)
    named: dict[int, float] = {}  # the height at which each name stands
    for place, number in enumerate(int(n) for n in np.argsort(-values)[:5] if values[n] > 0):
        near = [height for n, height in named.items() if abs(n - number) < 0.4 * len(values)]
        height = float(values[number])
        if place >= 3 and (height < 0.02 or any(abs(other - height) < 0.065 for other in near)):
            continue  # its name would lie on another
        while any(abs(other - height) < 0.065 for other in near):
            height += 0.07  # above the other name
        named[number] = height
        right = number > 0.7 * len(values)
        axes.annotate(
            f"{number} {short(names[number], 32)} {percent(values[number], digits=1)}",
            (number, height),
            xytext=(-4 if right else 4, 2),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=8,
        )
    axes.set(
        xlabel="class",
        ylabel="probability",
        ylim=(-0.02, 1.1),
        xlim=(-0.01 * len(values), 1.01 * len(values)),
    )
    axes.grid(axis="y", alpha=0.3)
    return _rendered(figure)


def clouds(places: Mapping[str, npt.NDArray[Any]], labels: Sequence[int], names: Sequence[str]) -> bytes:
    """Side by side for each title its `places` (n, 2), a point each, in the colour of its label; so many
    times `CLOUD` inches wide.
    """
    figure = _figure(CLOUD * len(places), CLOUD)
    of = np.asarray(labels)
    for n, (title, points) in enumerate(places.items(), start=1):
        axes = figure.add_subplot(1, len(places), n)
        for k, name in enumerate(names):
            axes.plot(*points[of == k].T, ".", color=f"C{k % 10}", alpha=0.7, label=short(name, 18))
        axes.set(title=short(title, 60), xticks=[], yticks=[])
        if n == 1 and len(names) <= MOST_BARS:
            axes.legend(fontsize=8)
        axes.title.set_fontsize(9)
    return _rendered(figure)


def confusion(matrix: npt.NDArray[Any], names: Sequence[str]) -> bytes:
    """Counts (classes, classes): rows are the true class, columns the predicted; shaded by row share."""
    counts = np.asarray(matrix)
    n = len(names)
    if n == 0 or counts.shape != (n, n):
        raise UsageError(
            f"a confusion matrix of shape {counts.shape} for {n} classes; it is (classes, classes)"
        )
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    side = min(15.0, max(4.0, 0.42 * n + 2.2))
    cell = 0.75 * side / n * 72  # points
    small = max(4.5, min(9.0, 0.7 * cell))
    figure = _figure(side + 0.6, side)
    axes = figure.add_subplot()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    labels = [short(name, 18) for name in names]
    axes.set_xticks(range(n), labels, rotation=90 if n > 4 else 0, fontsize=small)
    axes.set_yticks(range(n), labels, fontsize=small)
    axes.set(xlabel="predicted class (columns)", ylabel="true class (rows)")
    if n <= 30:
        digits = len(f"{int(counts.max())}")
        fit = min(9.0, 0.8 * cell / (0.6 * digits))
        for row in range(n):
            for column in range(n):
                if counts[row, column]:
                    ink = "white" if shares[row, column] > 0.5 else "black"
                    label = axes.text(column, row, f"{counts[row, column]:g}", color=ink, fontsize=fit)
                    label.set(ha="center", va="center")
    figure.colorbar(shown, ax=axes, label="share of the true class", fraction=0.04, pad=0.02)
    return _rendered(figure)


# Parts


def _two_lines(text: str, most: int) -> str:
    head, bracket, tail = text.partition(" (predicted ")
    return text if len(text) <= most else f"{head}\n{bracket.strip()} {tail}"


def _curves(axes: Axes, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    from matplotlib.ticker import MaxNLocator

    drawn: list[npt.NDArray[Any]] = []
    for n, (name, points) in enumerate(series.items()):
        x, y = np.array(points, dtype=float).reshape(-1, 2).T
        y = np.where(np.isfinite(y), y, np.nan)
        covered = sum(_share_a_stretch(other, np.stack([x, y])) for other in drawn)
        drawn.append(np.stack([x, y]))
        (line,) = axes.plot(x, y, color=f"C{n % 10}", markersize=3.5, label=short(name, 40))
        line.set(marker="o" if len(x) <= 40 and not covered else "", clip_on=False, zorder=3)
        if covered and len(x) == 1:  # a ring around the points below
            line.set(marker="o", fillstyle="none", markersize=3.5 + 3 * covered)
        elif covered:  # broken, and without markers: the lines below show in the gaps
            dash = DASHES / (covered + 1)
            line.set_dashes((dash, DASHES - dash))
        elif n >= 10:  # ten colours, then again with broken lines
            line.set_linestyle("--")
    axes.grid(alpha=0.3)
    x, y = np.concatenate(drawn, axis=1) if drawn else np.empty((2, 0))
    if x.size and (x == x.round()).all():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    y = y[np.isfinite(y)]
    if y.size and y.min() >= 0 and y.max() <= 1:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0), min(high, 1))
    if series:
        axes.legend(fontsize=8)
    else:
        axes.text(
            0.5, 0.5, "nothing to show yet", ha="center", va="center", transform=axes.transAxes, color="grey"
        )


def _from_zero(axes: Axes) -> None:
    """Let a loss that hardly moves begin at 0: stretched over the axis, chance looks like a course."""
    y = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.empty(0)])
    y = y[np.isfinite(y)]
    if y.size and 0 <= 0.9 * y.max() <= y.min():
        axes.set_ylim(0, 1.1 * y.max() or None)


def _share_a_stretch(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether two lines (2, points) have two points in common that follow one another in both, or one where
    either has no more.
    """
    least = min(2, one.shape[1], other.shape[1])
    pairs = (one, other)
    runs, others = (
        {tuple(line[:, n : n + least].flat) for n in range(line.shape[1] - least + 1)} for line in pairs
    )
    return least > 0 and not runs.isdisjoint(others)


def _bars(
    axes: Axes,
    probabilities: Sequence[float] | npt.NDArray[Any],
    names: Sequence[str],
    truth: int | None,
    predicted: int,
) -> None:
    values = np.asarray(probabilities, dtype=float)
    if values.shape != (len(names),) or len(names) == 0:
        raise UsageError(f"{values.shape} probabilities for {len(names)} class names; give one for each")
    for index in (predicted, *(() if truth is None else (truth,))):
        if not 0 <= index < len(names):
            raise UsageError(f"class {index} of {len(names)}; give 0 to {len(names) - 1}")
    rows = list(range(len(names)))
    if len(rows) > MOST_BARS:
        best = sorted(rows, key=lambda i: -values[i])[:MOST_BARS]
        rows = [*best[:-1], truth] if truth is not None and truth not in best else best
        rest = float(np.delete(values, rows).sum())
        axes.set_xlabel(f"probability (the other {len(names) - len(rows)} classes together {rest:.3f})")
    else:
        axes.set_xlabel("probability")
    colours = [
        RIGHT if i == truth else WRONG if i == predicted and truth is not None else OTHER for i in rows
    ]
    axes.barh(range(len(rows)), values[rows], color=colours)
    axes.set_yticks(range(len(rows)), [short(names[i], 24) for i in rows], fontsize=9)
    for label, colour in zip(axes.get_yticklabels(), colours):  # a bar of nearly zero shows no colour
        label.set_color("black" if colour == OTHER else colour)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))
    axes.grid(axis="x", alpha=0.3)


def _bars_height(classes: int) -> float:
    return 1.2 + 0.26 * min(max(classes, 4), MOST_BARS)


def _figure(width: float, height: float) -> Figure:
    """A figure of so many inches; it draws itself with Agg, the default of `Figure` outside pyplot."""
    plotting.settle()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")


def _rendered(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
