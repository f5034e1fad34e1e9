"""A network as a picture: its layers as boxes in the order in which they run, with sizes, branches and
shortcuts.

A convolution and the normalisation, activation and dropout after it share a box. Branches (Concat, Residual,
Grow, Gate) run side by side from a fork to the sign that joins them; a shortcut is a line beside its body.
Long networks go on in further columns.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont
from torch import nn

from neocog.arithmetic import Row, Walk, written
from neocog.zoo.blocks import Concat, Gate, Grow, Network, Residual

COLUMN = 2200
"""Pixels of height after which a new column begins."""

_PAD, _LINE, _GAP, _BETWEEN, _MARGIN = 8, 15, 22, 24, 28
_COLOURS = {
    "conv": "#cfe3f7", "transposed conv": "#cfe3f7", "dense": "#f9dcc0", "input": "#ffffff",
    "maxpool": "#d5efd1", "avgpool": "#d5efd1", "lppool": "#d5efd1", "l2pool": "#d5efd1",
    "globalpool": "#d5efd1", "flatten": "#eeeeee", "dropout": "#f3e2f5",
}  # fmt: skip
_OTHER, _EDGE, _INK, _FAINT = "#f4f1dc", "#5a6b7b", "#1d2730", "#66727d"
_RIDERS = {
    "activation", "prelu", "softmax", "dropout", "identity",
    "batch norm", "group norm", "layer norm", "instance norm",
}  # fmt: skip
"""Kinds that join the box above them."""

_AHEAD = {"padding", "pad", "same"}
"""Kinds that join the box below them."""


@dataclass(slots=True)
class Box:
    """One layer, or one with its normalisation and activation: what stands in it, and the size that leaves
    it.
    """

    kind: str
    lines: list[str]
    riders: list[str] = field(default_factory=list)
    given: str = ""
    out: str = ""


@dataclass(slots=True)
class Stack:
    """Parts one above the other."""

    parts: list[Part]


@dataclass(slots=True)
class Fork:
    """Branches side by side, joined by a sign: '+', 'concat' or 'gate'. An empty branch is a shortcut."""

    branches: list[Stack]
    sign: str
    out: str = ""


Part = Box | Stack | Fork


def draw(network: nn.Module, walk: Walk, *, title: str = "") -> bytes:
    """The PNG of `network` as it was walked."""
    rows: dict[str, list[Row]] = {}
    for row in walk.layers:
        rows.setdefault(row.name, []).append(row)
    first = Box("input", [f"input {written(walk.input)}"])
    return _Canvas(_columns([first, *_flat(_part(network, "", rows))]), title).png()


# --- from modules to parts ---------------------------------------------------------------------------------


def _part(module: nn.Module, name: str, rows: dict[str, list[Row]]) -> Stack:
    """What to draw for `module`, called `name`, in the order of its words."""
    if isinstance(module, Concat):
        return Stack(
            [Fork([_part(m, _join(name, "branches", n), rows) for n, m in module.branches.items()], "concat")]
        )
    if isinstance(module, Residual):
        fork = Fork([_child(module, name, "body", rows), _child(module, name, "shortcut", rows)], "+")
        return Stack([fork, *_child(module, name, "after", rows).parts])
    if isinstance(module, Grow):
        return Stack([Fork([Stack([]), _child(module, name, "layer", rows)], "concat")])
    if isinstance(module, Gate):
        gate = Stack(
            [*_child(module, name, "transform", rows).parts, *_child(module, name, "openness", rows).parts]
        )
        return Stack([Fork([_child(module, name, "body", rows), gate, Stack([])], "gate")])
    if isinstance(module, Network):
        return _merged([_child(module, name, "features", rows), _child(module, name, "head", rows)])
    if isinstance(module, nn.Sequential):
        return _merged(_part(child, _join(name, word), rows) for word, child in module.named_children())
    inside = [
        row
        for place, found in rows.items()
        if place == name or place.startswith(f"{name}." if name else "")
        for row in found
    ]
    return _merged(
        Stack([_box(row)] if row.kind != "identity" else [])
        for row in sorted(inside, key=lambda row: row.index)
    )


def _child(module: nn.Module, name: str, word: str, rows: dict[str, list[Row]]) -> Stack:
    return _part(getattr(module, word), _join(name, word), rows)


def _join(*words: str) -> str:
    return ".".join(word for word in words if word)


def _box(row: Row) -> Box:
    words = [row.name.removeprefix("features.").removeprefix("head."), row.label]
    if "pad" in row.window:
        words[1] += row.window[row.window.index(" pad") :]
    elif row.window.endswith("depthwise") or " groups " in row.window:
        words[1] += row.window[row.window.index(" ") :]
    if row.parameters:
        words.append(f"{row.parameters:,} parameters")
    return Box(row.kind, words, given=written(row.input), out=written(row.output))


def _merged(stacks: Iterable[Stack]) -> Stack:
    """One stack of all, riders moved into the box that they ride on."""
    parts: list[Part] = []
    ahead: list[str] = []
    for part in (part for stack in stacks for part in stack.parts):
        if isinstance(part, Box) and part.kind in _AHEAD:
            ahead.append(part.lines[1])
            continue
        last = parts[-1] if parts else None
        if isinstance(part, Box) and isinstance(last, Box) and part.kind in _RIDERS:
            last.riders += [part.lines[1], *part.riders]
            last.out = part.out
            continue
        if isinstance(last, Fork):
            last.out = last.out or _given(part)
            if isinstance(part, Box) and part.kind == "activation":
                last.sign += f" · {part.lines[1]}"
                continue
        if isinstance(part, Box) and ahead:
            part.lines[1] = f"{' + '.join(ahead)} + {part.lines[1]}"
            ahead = []
        parts.append(part)
    parts += [Box("padding", ["", words]) for words in ahead]
    return Stack(parts)


def _given(part: Part) -> str:
    """The size that enters a part."""
    if isinstance(part, Box):
        return part.given
    inner = part.parts if isinstance(part, Stack) else part.branches
    return next((size for size in map(_given, inner) if size), "")


def _flat(stack: Stack) -> Iterator[Part]:
    """The parts of stacks within stacks, one after the other."""
    for part in stack.parts:
        if isinstance(part, Stack):
            yield from _flat(part)
        else:
            yield part


# --- sizes and places --------------------------------------------------------------------------------------


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


_MEASURE = ImageDraw.Draw(Image.new("L", (1, 1)))


def _text_width(text: str, size: int = 12) -> int:
    return int(_MEASURE.textlength(text, font=_font(size))) + 1


def _lines(box: Box) -> list[str]:
    return [line for line in [*box.lines, " · ".join(box.riders)] if line]


def _extent(part: Part) -> tuple[int, int]:
    """Width and height in pixels, the arrow below a box with it."""
    if isinstance(part, Box):
        wide = max(_text_width(line) for line in _lines(part))
        return max(wide + 2 * _PAD, 2 * _text_width(part.out, 11) + 16), len(
            _lines(part)
        ) * _LINE + 2 * _PAD + _GAP
    if isinstance(part, Stack):
        sizes = [_extent(inner) for inner in part.parts]
        return max((w for w, _ in sizes), default=14), sum(h for _, h in sizes)
    sizes = [_extent(branch) for branch in part.branches]
    return sum(w for w, _ in sizes) + _BETWEEN * (len(sizes) - 1), max(h for _, h in sizes) + 3 * _GAP + 14


def _columns(parts: Sequence[Part]) -> list[Stack]:
    """The parts cut into columns of about COLUMN pixels."""
    columns: list[Stack] = [Stack([])]
    height = 0
    for part in parts:
        tall = _extent(part)[1]
        if height and height + tall > COLUMN:
            columns.append(Stack([]))
            height = 0
        columns[-1].parts.append(part)
        height += tall
    return columns


class _Canvas:
    """The picture while it is drawn."""

    def __init__(self, columns: list[Stack], title: str) -> None:
        self.columns, self.title = columns, title
        sizes = [_extent(column) for column in columns]
        width = sum(w for w, _ in sizes) + 2 * _MARGIN * len(sizes)
        self.top = _MARGIN + 26
        height = max(h for _, h in sizes) + self.top + _MARGIN
        self.image = Image.new("RGB", (max(width, _text_width(title, 16) + 2 * _MARGIN), height), "white")
        self.pen = ImageDraw.Draw(self.image)

    def png(self) -> bytes:
        self.pen.text((_MARGIN, 14), self.title, fill=_INK, font=_font(16))
        left = _MARGIN
        for number, column in enumerate(self.columns):
            width, _ = _extent(column)
            middle = left + width // 2
            if number:
                self._line([(middle, self.top - 14), (middle, self.top)], arrow=True)
            bottom = self._part(column, middle, self.top)
            if number + 1 < len(self.columns):
                self._text("continued at the right", middle, bottom + 8, _FAINT)
            left += width + 2 * _MARGIN
        out = io.BytesIO()
        self.image.save(out, "PNG", optimize=True)
        return out.getvalue()

    def _part(self, part: Part, middle: int, top: int) -> int:
        """Draw `part` centred at `middle`; its bottom."""
        if isinstance(part, Box):
            return self._box(part, middle, top)
        if isinstance(part, Fork):
            return self._fork(part, middle, top)
        for inner in part.parts:
            top = self._part(inner, middle, top)
        return top

    def _box(self, box: Box, middle: int, top: int) -> int:
        lines = _lines(box)
        width, height = max(_text_width(line) for line in lines) + 2 * _PAD, len(lines) * _LINE + 2 * _PAD
        place = (middle - width // 2, top, middle + width // 2, top + height)
        self.pen.rounded_rectangle(place, 6, fill=_COLOURS.get(box.kind, _OTHER), outline=_EDGE)
        for number, line in enumerate(lines):
            ink = _INK if number < 2 else _FAINT
            self._text(line, middle, top + _PAD + number * _LINE + _LINE // 2, ink)
        self._line([(middle, top + height), (middle, top + height + _GAP)], arrow=True)
        self.pen.text((middle + 7, top + height + 3), box.out, fill=_FAINT, font=_font(11))
        return top + height + _GAP

    def _fork(self, fork: Fork, middle: int, top: int) -> int:
        sizes = [_extent(branch) for branch in fork.branches]
        total = sum(w for w, _ in sizes) + _BETWEEN * (len(sizes) - 1)
        below = top + _GAP + max(h for _, h in sizes)
        left, start = middle - total // 2, top + _GAP // 2
        for branch, (width, _) in zip(fork.branches, sizes, strict=True):
            axis = left + width // 2
            self._line(
                [(middle, top), (middle, start), (axis, start), (axis, top + _GAP)], arrow=bool(branch.parts)
            )
            end = self._part(branch, axis, top + _GAP)
            self._line([(axis, end), (axis, below + 6), (middle, below + 6)])
            left += width + _BETWEEN
        wide = _text_width(fork.sign) // 2 + 8
        self._line([(middle, below + 6), (middle, below + 14)], arrow=True)
        oval = (middle - wide, below + 14, middle + wide, below + 14 + _GAP)
        self.pen.rounded_rectangle(oval, _GAP // 2, fill="white", outline=_EDGE)
        self._text(fork.sign, middle, below + 14 + _GAP // 2, _INK)
        bottom = top + _extent(fork)[1]
        self._line([(middle, below + 14 + _GAP), (middle, bottom)], arrow=True)
        self.pen.text((middle + 7, below + 16 + _GAP), fork.out, fill=_FAINT, font=_font(11))
        return bottom

    def _text(self, text: str, x: int, y: int, ink: str) -> None:
        self.pen.text((x, y), text, fill=ink, font=_font(12), anchor="mm")

    def _line(self, points: Sequence[tuple[int, int]], *, arrow: bool = False) -> None:
        self.pen.line(list(points), fill=_EDGE, width=1)
        if arrow:
            x, y = points[-1]
            self.pen.polygon([(x, y), (x - 4, y - 6), (x + 4, y - 6)], fill=_EDGE)
