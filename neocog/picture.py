"""Results as pictures: grids, curves, probability bars, confusion and heat maps, each as the bytes of a PNG.

Grids and heat maps are put together pixel by pixel, so that a small picture is enlarged by a whole number and
every one of its pixels stays a square; charts are drawn by matplotlib's objects, without pyplot's state.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw, ImageFont

from neocog.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]

RIGHT, WRONG, OTHER = "blue", "red", "grey"
"""Colours of the true class, a wrong guess, and all other classes (experiment E4)."""

MOST_PICTURES = 1000
MOST_BARS = 20
MOST_STACKED = 20
_SEEN_WELL = 96  # pixels; the side to which small pictures are enlarged
_LARGEST = 320  # pixels; the side to which large pictures are reduced in a grid
_WIDEST = 1600  # pixels; a grid's width, where whole enlargement factors allow
_TITLE, _CAPTION, _GAP = 12, 13, 6  # pixels: heights of letters, space between pictures


# Grids and heat maps


def grid(
    pictures: Sequence[Pixels],
    *,
    titles: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
    columns: int | None = None,
    caption: str | None = None,
) -> bytes:
    """Pictures, uint8 (C, h, w), (h, w) or (h, w, 3), row by row; a title in its own colour above each.

    Small pictures are enlarged by one whole factor for all; long titles take two lines and end in '…'.
    """
    shown = [_rgb(picture) for picture in pictures]
    if not 1 <= len(shown) <= MOST_PICTURES:
        raise UsageError(f"a grid of {len(shown)} pictures; give 1 to {MOST_PICTURES}")
    for what, given in (("titles", titles), ("colours", colours)):
        if given is not None and len(given) != len(shown):
            raise UsageError(f"{len(given)} {what} for {len(shown)} pictures; give one for each")
    across = min(columns or _columns(len(shown)), len(shown))
    if across < 1:
        raise UsageError(f"a grid of {columns} columns; give 1 or more")
    drawn = _enlarged(shown, across)
    width = max(picture.width for picture in drawn)
    height = max(picture.height for picture in drawn)
    lines: list[list[str]] = []
    if titles is not None:
        width = max(width, min(160, _wanted_width(titles)))
        lines = [_lines(title, _font(_TITLE), width, most=2) for title in titles]
    title_height = max((len(some) for some in lines), default=0) * (_TITLE + 3)
    step_x, step_y = width + _GAP, title_height + height + _GAP
    full_width = across * step_x + _GAP
    below = _lines(caption, _font(_CAPTION), full_width - 2 * _GAP, most=4) if caption else []
    down = -(-len(drawn) // across)
    sheet = Image.new("RGB", (full_width, down * step_y + _GAP + len(below) * (_CAPTION + 5)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, picture in enumerate(drawn):
        x, y = _GAP + i % across * step_x, _GAP + i // across * step_y
        if lines:
            colour = _colour(colours[i]) if colours is not None else (0, 0, 0)
            top = y + title_height - len(lines[i]) * (_TITLE + 3)
            for n, line in enumerate(lines[i]):
                place = (x + width / 2, top + n * (_TITLE + 3))
                pen.text(place, line, fill=colour, font=_font(_TITLE), anchor="ma")
        sheet.paste(
            picture, (x + (width - picture.width) // 2, y + title_height + (height - picture.height) // 2)
        )
    for n, line in enumerate(below):
        pen.text(
            (_GAP, down * step_y + _GAP + n * (_CAPTION + 5)), line, fill=(64, 64, 64), font=_font(_CAPTION)
        )
    return _png(sheet)


def alone(picture: Pixels) -> bytes:
    """One picture, uint8 (C, h, w), (h, w) or (h, w, 3), pixel for pixel."""
    return _png(Image.fromarray(_rgb(picture)))


def heat(values: npt.NDArray[Any], *, over: Pixels | None = None) -> bytes:
    """A map (h, w) in false colours, dark for its least value and bright yellow for its greatest.

    `over` a picture, the map is brought to the picture's size and both are mixed half and half.
    """
    import matplotlib

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise UsageError(f"a heat map was given as {values.shape}; it is (h, w), every value a finite number")
    spread = float(values.max() - values.min())
    shares = (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
    if over is not None:
        below = _rgb(over)
        wanted = (below.shape[1], below.shape[0])
        resized = Image.fromarray(shares.astype(np.float32)).resize(wanted, Image.Resampling.BILINEAR)
        shares = np.clip(np.asarray(resized), 0, 1)
    colours = matplotlib.colormaps["inferno"](shares, bytes=True)[:, :, :3]
    if over is not None:
        colours = ((colours.astype(np.uint16) + below) // 2).astype(np.uint8)
    return _png(_enlarged([np.ascontiguousarray(colours)], 1, least=256)[0])


# Charts


def curves(
    series: Mapping[str, Sequence[tuple[float, float]]], *, title: str, x_label: str, y_label: str
) -> bytes:
    """One line per name through its (x, y) points; points that are not finite leave a gap."""
    figure = _figure(7.5, 4.5)
    axes = figure.add_subplot()
    _curves(axes, series)
    axes.set(title=_text(title, 90), xlabel=_text(x_label, 90), ylabel=_text(y_label, 60))
    return _rendered(figure)


def training_curves(epochs: Sequence[Mapping[str, float]]) -> bytes:
    """Loss and accuracy over epochs, training and held out, side by side.

    Keys of an epoch: epoch, loss, accuracy, perhaps val_loss, val_accuracy; what is missing is left out.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _figure(10, 4)
    for n, what in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, n)
        named = {"training": what, "held out": f"val_{what}"}
        series = {
            name: [(float(e["epoch"]), float(e[key])) for e in epochs if e.get(key) is not None]
            for name, key in named.items()
        }
        _curves(axes, {name: points for name, points in series.items() if points})
        axes.set(title=what, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return _rendered(figure)


def bars(
    probabilities: Sequence[float] | npt.NDArray[Any],
    names: Sequence[str],
    *,
    truth: int | None,
    predicted: int,
) -> bytes:
    """Probabilities 0..1 as bars: grey, the true class blue, a wrong guess red.

    Of more than 20 classes the likeliest are shown, and the true one.
    """
    figure = _figure(5, _bars_height(len(names)))
    _bars(figure.add_subplot(), probabilities, names, truth, predicted)
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
    shown = _rgb(picture)
    figure = _figure(9, max(3.6, _bars_height(len(names))))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    _bars(right, probabilities, names, truth, predicted)
    left.imshow(shown, interpolation="nearest" if max(shown.shape) <= 256 else "antialiased")
    left.set_axis_off()
    guess = _text(names[predicted], 32)
    if truth is None:
        left.set_title(f"predicted {guess}", color="black")
    else:
        title = f"{_text(names[truth], 32)} (predicted {guess})"
        left.set_title(_two_lines(title, 34), color=RIGHT if truth == predicted else WRONG)
    return _rendered(figure)


def spectrum(probabilities: Sequence[float] | npt.NDArray[Any], names: Sequence[str]) -> bytes:
    """The probabilities 0..1 of all classes by number; the likeliest, five at most, are named (P2)."""
    figure = _figure(9, 3.2)
    axes = figure.add_subplot()
    values = np.asarray(probabilities, dtype=np.float64)
    axes.vlines(np.arange(len(values)), 0, values, color=OTHER, linewidth=1.2)
    axes.plot(np.arange(len(values)), values, ".", color=RIGHT, markersize=2.5)
    named: list[int] = []
    for number in [int(n) for n in np.argsort(-values)[:5] if values[n] > 0.02]:
        near = [n for n in named if abs(n - number) < 0.25 * len(values)]
        if any(abs(values[n] - values[number]) < 0.07 for n in near):
            continue  # its name would lie on another
        named.append(number)
        right = number > 0.7 * len(values)
        axes.annotate(
            f"{number} {_text(names[number], 32)} {values[number]:.1%}",
            (number, values[number]),
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


def stacked(pictures: Sequence[bytes], *, caption: str | None = None) -> bytes:
    """PNGs one above another, at the left, on white; a caption below."""
    if not 1 <= len(pictures) <= MOST_STACKED:
        raise UsageError(f"a stack of {len(pictures)} pictures; give 1 to {MOST_STACKED}")
    parts = [Image.open(io.BytesIO(png)) for png in pictures]
    width = max(part.width for part in parts)
    below = _lines(caption, _font(_CAPTION), width - 2 * _GAP, most=4) if caption else []
    top = sum(part.height for part in parts)
    sheet = Image.new("RGB", (width, top + len(below) * (_CAPTION + 5) + (_GAP if below else 0)), "white")
    y = 0
    for part in parts:
        sheet.paste(part.convert("RGB"), (0, y))
        y += part.height
    pen = ImageDraw.Draw(sheet)
    for n, line in enumerate(below):
        pen.text((_GAP, top + n * (_CAPTION + 5)), line, fill=(64, 64, 64), font=_font(_CAPTION))
    return _png(sheet)


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
    labels = [_text(name, 18) for name in names]
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


# Parts of charts


def _curves(axes: Axes, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    for n, (name, points) in enumerate(series.items()):
        x, y = np.array(points, dtype=float).reshape(-1, 2).T
        y = np.where(np.isfinite(y), y, np.nan)
        style = "-" if n < 10 else "--"  # ten colours, then again with broken lines
        marker = "o" if len(x) <= 40 else None
        axes.plot(x, y, style, color=f"C{n % 10}", marker=marker, markersize=3.5, label=_text(name, 40))
    axes.grid(alpha=0.3)
    if series:
        axes.legend(fontsize=8)
    else:
        axes.text(
            0.5, 0.5, "nothing to show yet", ha="center", va="center", transform=axes.transAxes, color="grey"
        )


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
    axes.set_yticks(range(len(rows)), [_text(names[i], 24) for i in rows], fontsize=9)
    for label, colour in zip(axes.get_yticklabels(), colours):  # a bar of nearly zero shows no colour
        label.set_color("black" if colour == OTHER else colour)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))
    axes.grid(axis="x", alpha=0.3)


def _bars_height(classes: int) -> float:
    return 1.2 + 0.26 * min(max(classes, 4), MOST_BARS)


def _figure(width: float, height: float) -> Figure:
    """A figure of so many inches; it draws itself with Agg, the default of `Figure` outside pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")


def _rendered(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


# Pixels


def _rgb(picture: Pixels) -> Pixels:
    """(C, h, w), (h, w) or (h, w, 3), uint8, as (h, w, 3). (C, h, w) where it could be both."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.size == 0:
        raise UsageError(
            f"a picture was given as {pixels.dtype} {pixels.shape}; it is uint8 (C, h, w), (h, w), (h, w, 3)"
        )
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] not in (1, 3):
        raise UsageError(
            f"a picture has {pixels.shape} values; it is (C, h, w), (h, w) or (h, w, 3) with C 1 or 3"
        )
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _columns(n: int) -> int:
    """The number of columns of a grid of n: near its root, a divisor of n where one is near."""
    root = math.ceil(math.sqrt(n))
    return next((c for c in range(root, 2 * root) if n % c == 0), root)


def _enlarged(pictures: Sequence[Pixels], across: int, *, least: int = _SEEN_WELL) -> list[Image.Image]:
    """The pictures enlarged by one whole factor, or the too large ones reduced."""
    side = max(max(picture.shape[:2]) for picture in pictures)
    room = max(1, (_WIDEST // across - _GAP) // side)
    factor = max(1, min(-(-least // side), room))
    drawn = []
    for pixels in pictures:
        picture = Image.fromarray(pixels)
        if side > _LARGEST and max(picture.size) > _LARGEST:
            picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
        drawn.append(
            picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        )
    return drawn


def _colour(name: str) -> tuple[int, ...]:
    try:
        return ImageColor.getrgb(name)
    except ValueError as error:
        raise UsageError(f"unknown colour '{name}'; give a name such as blue, or #rrggbb") from error


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


# Letters


@functools.cache
def _font_file() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@functools.cache
def _font(height: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_font_file()), height, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def _letters() -> frozenset[int]:
    """The code points that DejaVu Sans can draw."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_font_file())).get_charmap())


def _drawable(text: str) -> str:
    """`text` in one line, with a box for what the font lacks and for what steers instead of showing."""
    known = _letters()
    return " ".join(
        "".join(c if c.isspace() or (c.isprintable() and ord(c) in known) else "□" for c in text).split()
    )


def _text(text: str, most: int) -> str:
    """Drawable text of at most so many characters for matplotlib, which reads formulas between dollars."""
    text = _drawable(text)
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def _two_lines(text: str, most: int) -> str:
    head, bracket, tail = text.partition(" (predicted ")
    return text if len(text) <= most else f"{head}\n{bracket.strip()} {tail}"


def _wanted_width(titles: Sequence[str]) -> int:
    """Pixels with which the titles need no shortening, were they broken before their brackets."""
    parts = (part for title in titles for part in _drawable(title)[:200].split(" ("))
    return math.ceil(max(_font(_TITLE).getlength(f"({part}") for part in parts))


def _lines(text: str, font: ImageFont.FreeTypeFont, width: float, *, most: int) -> list[str]:
    """`text` broken at spaces into at most so many lines of at most `width` pixels; the rest becomes '…'."""
    lines: list[str] = []
    text = _drawable(text)[:2000]
    head, bracket, tail = text.partition(" (")
    if most == 2 and bracket and font.getlength(text) > width >= font.getlength(head):
        return [head, _shortened(f"({tail}", font, width)]
    words = text.split(" ")
    while words and len(lines) < most:
        taken = 1
        while taken < len(words) and font.getlength(" ".join(words[: taken + 1])) <= width:
            taken += 1
        if len(lines) == most - 1:
            taken = len(words)
        lines.append(_shortened(" ".join(words[:taken]), font, width))
        words = words[taken:]
    return lines


def _shortened(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(line) <= width:
        return line
    keep = len(line)
    while keep > 1 and font.getlength(line[:keep] + "…") > width:
        keep -= 1
    return line[:keep].rstrip() + "…"
