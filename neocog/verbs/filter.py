"""filter: a classical filter, or pooling, over a picture, a signal or a volume, with its numbers."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neocog.data import DATASETS, Data, load
from neocog.errors import UsageError, escaped, unknown
from neocog.inside import signals
from neocog.inside.filter_sheet import FilterSheet
from neocog.inside.filters import Pool, Sliding, Spot, plain, sigmoid, slide, spot
from neocog.inside.kernels import Kernel, Numbers, kernel, names_a_file, numbers, random_filters
from neocog.outputs import replacing, write_bytes
from neocog.pictures.decode import decode
from neocog.pictures.pixels import GREY

Colour = Literal["given", "grey", "rgb"]
Then = Literal["none", "sigmoid"]
Levels = Literal["clip", "scale"]

RANDOM = 4
"""Filters that the kernel `random` draws, as in experiment F4."""
PRINTED = 256
"""Numbers of an output that `text` prints in full; of a larger one the range."""
IN_JSON = 100_000
MOST_WINDOWS = 16
_IN_LINE = 20  # numbers of a signal in a line of text


@dataclass(frozen=True, slots=True)
class Output:
    """What one kernel or pooling gave.

    `values` (channels, m, ...), float64, after `then`, are not cut to any range; `weights` are the kernel's,
    None for pooling; `spot` is the arithmetic of one place, where it was asked for.
    """

    name: str
    values: Numbers = field(repr=False, compare=False)
    weights: Numbers | None = field(default=None, repr=False, compare=False)
    spot: Spot | None = None


@dataclass(frozen=True, slots=True)
class Filtered:
    """`given` (C, n, ...), float64, and what came of it. `top` is the value that is white where `levels` is
    'clip': 255 for pictures, else 1 or the greatest number given.
    """

    source: str
    given: Numbers = field(repr=False, compare=False)
    outputs: tuple[Output, ...]
    levels: Levels
    top: float

    def text(self) -> str:
        """Sizes and numbers, or the range of many; then the arithmetic of the place that was asked for."""
        lines = [f"{escaped(self.source)}: {_size(self.given)}"]
        for output in self.outputs:
            lines += ["", f"{escaped(output.name)}: {_size(output.values)}{_range(output.values)}"]
            lines += _printed(output.values)
            lines += _arithmetic(output) if output.spot is not None else []
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        return {
            "input": escaped(self.source),
            "shape": list(self.given.shape),
            "outputs": [_described(output) for output in self.outputs],
        }

    def png(self) -> bytes:
        """What was given and every output side by side; curves of a signal, or strips where it has more than
        three channels; of a volume a row of pictures each.
        """
        return self._sheet().png()

    def save(self, path: Path | str) -> None:
        """Write `.npz` (the numbers: `given`, `output1`, ...) or a PNG side by side; of a picture, each
        output also alone and at its own size: out-1.png, out-2.png ...
        """
        place = Path(path)
        if place.suffix.lower() == ".npz":
            arrays: dict[str, Any] = {f"output{n}": output.values for n, output in enumerate(self.outputs, 1)}
            with replacing(place) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, given=self.given, **arrays)
            return
        if place.suffix.lower() != ".png":
            raise UsageError(f"what was filtered is written as .png or .npz, not as '{place.name}'")
        sheet = self._sheet()
        write_bytes(place, sheet.png())
        for number, alone in enumerate(sheet.each(), 1):
            write_bytes(place.with_stem(f"{place.stem}-{number}"), alone)

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png()).decode()
        return f'<pre>{html.escape(self.text())}</pre><img alt="filtered" src="data:image/png;base64,{data}">'

    def _sheet(self) -> FilterSheet:
        name = Path(self.source).name if names_a_file(self.source) else self.source
        outputs = tuple((output.name, output.values) for output in self.outputs)
        return FilterSheet((name, self.given), outputs, self.levels, self.top)


def filter_(
    image: str | Path | Numbers,
    *,
    windows: Sequence[str | Kernel | Pool],
    sliding: Sliding | None = None,
    colour: Colour = "given",
    then: Then = "none",
    levels: Levels = "clip",
    at: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Filtered:
    """Slide each of `windows` over `image`.

    `image`: a picture file; NAME:INDEX, a training picture of a data set; numbers such as '1 1 0; 0 1 1'
    ('|' begins another channel); 'sound', 'video' or 'text:WORDS'; or an array (C, n, ...). A window is a
    kernel (a name, numbers, a file, 'random' drawn from `seed`, or 'letters:WORD' for texts) or a `Pool`.
    `then` puts a logistic sigmoid behind it; a picture's values are then taken as 0..1. `at` asks for the
    arithmetic of that place, before `then`, counted from 0 in what comes out.

    `UsageError` for unknown names and for windows that do not fit; `UnreadableError` for files.
    """
    if not 1 <= len(windows) <= MOST_WINDOWS:
        raise UsageError(f"{len(windows)} kernels and poolings; give 1 to {MOST_WINDOWS}")
    for kind, value, accepted in (
        ("colour", colour, ("given", "grey", "rgb")),
        ("then", then, ("none", "sigmoid")),
        ("levels", levels, ("clip", "scale")),
    ):
        if value not in accepted:
            raise unknown(kind, value, accepted)
    source, given, top = _read(image)
    given = _coloured(given, colour)
    if then == "sigmoid":
        given, top = given / top if top == 255 else given, 1.0
    how = sliding or Sliding()
    outputs = []
    for one in windows:
        window = _window(one, given, seed) if isinstance(one, str) else one
        values = slide(given, window, how)
        outputs.append(
            Output(
                window.name,
                sigmoid(values) if then == "sigmoid" else values,
                window.weights if isinstance(window, Kernel) else None,
                spot(given, window, at, how) if at is not None else None,
            )
        )
    return Filtered(source, given, tuple(outputs), levels, top)


# --- what goes in ------------------------------------------------------------------------------------------


def _read(image: str | Path | Numbers) -> tuple[str, Numbers, float]:
    """Its name, its numbers (C, n, ...), and the value that is white."""
    if isinstance(image, np.ndarray):
        if image.size == 0 or not np.isfinite(image).all():
            raise UsageError(f"an array {image.shape} was given; it has numbers, and all are finite")
        return "an array", image.astype(np.float64), 255.0 if image.dtype == np.uint8 else _top(image)
    text = str(image)
    if isinstance(image, Path) or names_a_file(text):
        rgb = decode(Path(text)).transpose(2, 0, 1)
        grey = (rgb == rgb[:1]).all()
        return text, (rgb[:1] if grey else rgb).astype(np.float64), 255.0
    if text in ("sound", "video"):
        return text, signals.sound() if text == "sound" else signals.video(), 1.0
    name, mark, rest = text.partition(":")
    if mark and name == "text":
        return text, signals.letters(rest), 1.0
    if mark and name in DATASETS and rest.isdecimal():
        x = load(Data(name=name, val="none")).train.x
        if int(rest) >= len(x):
            raise UsageError(f"{name} has training pictures 0 to {len(x) - 1}, not {int(rest)}")
        return text, x[int(rest)].numpy().astype(np.float64), 255.0
    if re.match(r"\s*[-+.]?\d[\d\s.,;|/e+-]*$", text):
        found = numbers(text, what="picture")
        return "numbers", found, _top(found)
    return (
        text,
        decode(Path(text)).transpose(2, 0, 1).astype(np.float64),
        255.0,
    )  # says that there is no such file


def _top(values: Numbers) -> float:
    greatest = float(values.max())
    return greatest if greatest > 0 else 1.0


def _coloured(given: Numbers, colour: Colour) -> Numbers:
    if colour == "given":
        return given
    if given.ndim != 3 or len(given) not in (1, 3):
        raise UsageError(f"colour '{colour}' is for pictures with 1 or 3 channels; this has {given.shape}")
    if colour == "rgb":
        return np.repeat(given, 3 // len(given), axis=0)
    if len(given) == 1:
        return given
    return np.tensordot(np.array(GREY), given, axes=1)[None]


def _window(text: str, given: Numbers, seed: int) -> Kernel:
    channels, axes = len(given), given.ndim - 1
    if text == "random":
        return random_filters(RANDOM, channels=channels, axes=axes, seed=seed)
    if text.startswith("letters:"):
        if (channels, axes) != (len(signals.ALPHABET), 1):
            raise UsageError(f"the kernel '{text}' is for texts; give text:WORDS to look for it in")
        return signals.finder(text.removeprefix("letters:"))
    return kernel(text, channels=channels, axes=axes)


# --- what comes out ----------------------------------------------------------------------------------------


def _size(values: Numbers) -> str:
    """Sizes as people write them, channels last."""
    return "x".join(str(n) for n in (*values.shape[1:], values.shape[0]))


def _range(values: Numbers) -> str:
    low, mean, high = (plain(float(v)) for v in (values.min(), values.mean(), values.max()))
    return f", {low} to {high}, mean {mean}"


def _printed(values: Numbers) -> list[str]:
    """All numbers of a small output: channels, and slices, apart; nothing of a large one."""
    if values.size > PRINTED:
        return []
    planes = values.reshape(-1, *values.shape[-2:]) if values.ndim > 2 else values[None]
    cells = [[[plain(float(v)) for v in row] for row in plane] for plane in planes]
    wide = max(len(cell) for plane in cells for row in plane for cell in row)
    lines: list[str] = []
    if values.ndim == 2 and values.shape[1] > _IN_LINE and len(values) == 1:
        (row,) = cells[0]
        cells = [[row[n : n + _IN_LINE] for n in range(0, len(row), _IN_LINE)]]
    for number, plane in enumerate(cells):
        lines += [""] if number else []
        lines += ["  " + " ".join(cell.rjust(wide) for cell in row) for row in plane]
    return lines


def _arithmetic(output: Output) -> list[str]:
    """One line for each number that comes out: the products and their sum, or what was pooled."""
    found = output.spot
    assert found is not None
    lines = [f"at {','.join(map(str, found.at))}:"]
    for number, result in enumerate(found.results):
        if found.products is None or found.weights is None:
            seen = found.window[number].ravel()
            here = seen[~np.isnan(seen)]
            lines.append(f"  {output.name} of {', '.join(plain(float(v)) for v in here)} = {plain(result)}")
            continue
        mixes = found.weights.ndim > found.window.ndim
        weights = (found.weights[number] if mixes else found.weights).ravel()
        seen = (found.window if mixes else found.window[number]).ravel()
        terms = " + ".join(f"{plain(float(v))}*{_signed(float(w))}" for v, w in zip(seen, weights))
        lines.append(f"  {terms} = {plain(result)}")
    return lines


def _signed(weight: float) -> str:
    return f"({plain(weight)})" if weight < 0 else plain(weight)


def _described(output: Output) -> dict[str, Any]:
    values, found = output.values, output.spot
    return {
        "name": escaped(output.name),
        "shape": list(values.shape),
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "weights": None if output.weights is None else output.weights.tolist(),
        "values": values.tolist() if values.size <= IN_JSON else None,
        "at": found
        and {
            "place": list(found.at),
            "window": np.where(np.isnan(found.window), None, found.window).tolist(),  # type: ignore[call-overload]
            "products": None if found.products is None else found.products.tolist(),
            "results": list(found.results),
        },
    }
