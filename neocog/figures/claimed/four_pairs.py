"""Q3: maximum against mean, what a pool throws away, dropout, two small windows against a large one; each
pair under one recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from neocog.arithmetic import written
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.rivals import Rivals, Way
from neocog.figures.row import Row, claim, fact, seen
from neocog.zoo.chapters import ANSWER, FLATTEN, conv, dense, dropout, pool
from neocog.zoo.layer_list import build, parse

Layer = Mapping[str, Any]
FEW = ("data.limit=3000", "data.held_out=0.1", "epochs=10", "optim.kind=adam")
"""What every pair has in common: M6's recipe on 3,000 digits, under Adam, ten epochs."""
SOON = 3
"""Epochs after which it is asked whether dropout has speeded learning up."""


def network(middle: tuple[Layer, ...], *, pools: str = "maxpool", rate: float = 0.0) -> tuple[Layer, ...]:
    """B's kind of network with two pools: 16 filters, `middle`, dense 64; dropout of `rate` after the second
    pool and after the dense layer.
    """
    half = {**pool(), "kind": pools}
    drop = (dropout(rate),) if rate else ()
    return (conv(16, 3), half, *middle, half, *drop, FLATTEN, dense(64), *drop, ANSWER)


SMALL: tuple[Layer, ...] = (conv(16, 3), conv(16, 3))
LARGE: tuple[Layer, ...] = (conv(16, 5),)


def _way(name: str, layers: tuple[Layer, ...]) -> Way:
    return Way(name=name, recipe="m6", changes=FEW, layers=layers)


PLAIN = _way("two 3x3", network(SMALL))


def _thrown_away(asked: Asked) -> Iterator[Row]:
    """The share of the values that no pooled value depends on: no gradient reaches them."""
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    shares = {}
    for kind in ("maxpool", "avgpool"):
        layers = build(parse([{**pool(), "kind": kind}]), shape=(1, 8, 8), classes=2, answer="as written")
        (reached,) = torch.autograd.grad(layers(x).sum(), [x])
        shares[kind] = f"{100 * int((reached == 0).sum()) // x.numel()} %"
    yield fact("values that a 2x2 maximum throws away", "75 %", shares["maxpool"])
    yield seen("values that a 2x2 mean throws away", shares["avgpool"], remark="each counts for a quarter")


def _weights(asked: Asked) -> Iterator[Row]:
    """From 16 maps to 16 maps, biases included; the field that one output sees."""
    counts = {}
    for name, middle in (("two 3x3", SMALL), ("one 5x5", LARGE)):
        x = torch.zeros(1, 16, 9, 9).requires_grad_()
        linear = [{**layer, "activation": "none"} for layer in middle]
        layers = build(parse(linear), shape=(16, 9, 9), classes=2, answer="as written")
        y = layers(x)
        (seen,) = torch.autograd.grad(y[0, 0, 2, 2], [x])
        sides = [int(seen.abs().sum((0, 1, 3 - axis)).ne(0).sum()) for axis in (0, 1)]
        yield fact(f"what {name} see", "5x5", written(sides))
        counts[name] = sum(p.numel() for p in layers.parameters())
    small, large = counts.values()
    yield claim("two 3x3 have fewer weights than one 5x5", f"{small:,} against {large:,}", small < large)


Q3 = Entry(
    "Q3",
    "maximum, dropout and two 3x3",
    "B",
    (
        Check("what a pool throws away", _thrown_away),
        Check("weights of two 3x3 and of one 5x5", _weights),
        Rivals(
            what="max pooling does better than average",
            ours=_way("maximum", network(SMALL)),
            theirs=_way("average", network(SMALL, pools="avgpool")),
            picture="Q3-pooling",
        ),
        Rivals(
            what="dropout speeds learning up",
            ours=_way("dropout 0.25", network(SMALL, rate=0.25)),
            theirs=_way("none", network(SMALL)),
            picture="Q3-dropout",
            after=(SOON,),
        ),
        Rivals(
            what="two 3x3 do better than one 5x5",
            ours=PLAIN,
            theirs=_way("one 5x5", network(LARGE)),
            picture="Q3-windows",
        ),
    ),
)
