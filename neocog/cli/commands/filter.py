"""filter on the command line: kernels and poolings become windows, four options the way they slide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neocog.cli.command import Command, Given
from neocog.cli.options import ACCEPTED, CHOICE, Option, saved
from neocog.cli.values import numbers
from neocog.errors import UsageError


def call(verb: Callable[..., Any], given: Given) -> Any:
    """`filter_`, kernels first, then poolings."""
    from neocog.inside.filters import Pool, Sliding

    more = given.more
    windows = [*more.get("kernel", ()), *(_pool(text, Pool) for text in more.get("pool", ()))]
    if not windows:
        raise UsageError("say what to slide over it: --kernel blur, --kernel '1 0; 0 1' or --pool max")
    padding = more["padding"]
    pads: Any = int(padding) if padding.isdecimal() else padding
    sliding = Sliding(more.get("stride"), pads, more["border"], more["value"])
    return verb(**given.own, windows=windows, sliding=sliding)


def _pool(text: str, make: Callable[..., Any]) -> Any:
    """'max:3' -> Pool('max', 3)."""
    kind, mark, size = text.partition(":")
    if mark and not size.isdecimal():
        raise UsageError(f"'{text}' is no pooling; write for example max or max:3")
    return make(kind, int(size)) if mark else make(kind)


COMMAND = Command(
    about="A classical filter or pooling, with its numbers.",
    example="neocog filter cat.jpg --kernel edges -o edges.png",
    options={
        "image": Option(help="A picture, DATASET:INDEX, numbers '1 0; 0 1', sound, video or text:WORDS."),
        "kernel": Option(
            kind="texts", help="A name, numbers, a file, random, or letters:WORD; may be given again."
        ),
        "pool": Option(kind="texts", help="max, average or l2, with a size: max:3."),
        "stride": Option(kind="int", help="Pixels a step (default: 1; of pooling, its size)."),
        "padding": Option(kind="text", default="valid", help="valid, same, or pixels on every side."),
        "border": Option(
            kind="text",
            accepts="neocog.zoo.borders.Border",
            default="zero",
            help=f"What padding holds: {ACCEPTED}.",
        ),
        "value": Option(kind="float", default=0.0, help="Of --border constant."),
        "colour": Option(help="given (as it is), grey or rgb."),
        "then": CHOICE,
        "levels": Option(help="clip to black..white, or scale from least to greatest."),
        "at": Option(kind="text", parse=numbers, help="ROW,COL: print the products there and their sum."),
        "seed": Option(least=0, help="Of the kernel random."),
        "out": saved("Write .png or .npz.", short="-o"),
    },
    python_only=frozenset({"windows", "sliding"}),
    call=call,
)
