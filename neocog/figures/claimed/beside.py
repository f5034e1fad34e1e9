"""Q7: what a GPU brings, and what augmenting beside the training can bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.row import Row, claim, missing
from neocog.figures.training import epoch_seconds, trained
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.show.words import duration, percent
from neocog.world import find

EPOCHS = ("data.limit=2000", "epochs=4", "data.val=none")
"""What is trained; the first epoch is left out, it warms things up."""
WORTH = 0.05
"""The share of an epoch from which augmenting beside the training is worth anything."""


def _accelerated(asked: Asked) -> Iterator[Row]:
    """C6's network on both; the pictures are few, an epoch of all takes as many times as long."""
    fast = find(asked.device, "auto").device.type
    if fast == "cpu":
        yield missing(
            "C6 on a GPU learns faster than on a CPU",
            "this machine has no GPU",
            published="28 s against 1 to 2 s",
        )
        return
    recipe = override(RECIPES["c6"], EPOCHS)
    seconds = {
        kind: epoch_seconds(
            trained(recipe, replace(asked, device=kind, runs=asked.runs / kind), name="c6", seed=0)
        )
        for kind in ("cpu", fast)
    }
    said = ", ".join(f"{kind} {duration(found)} an epoch" for kind, found in seconds.items())
    yield claim("C6 on a GPU learns faster than on a CPU", said, seconds[fast] < seconds["cpu"])


def _augmented(asked: Asked) -> Iterator[Row]:
    """C2's network without and with C3's augmentation: doing that beside the training saves at most the
    difference.
    """
    plain, varied = (
        epoch_seconds(trained(override(RECIPES[name], EPOCHS), asked, name=name, seed=0))
        for name in ("c2", "c3")
    )
    share = (varied - plain) / varied
    said = f"{plain:.2f} s an epoch without, {varied:.2f} s with: {percent(share)} of it"
    yield claim(
        "augmenting beside the training would save time",
        said,
        share > WORTH,
        remark=f"'holds' from {percent(WORTH, digits=0)} of an epoch",
    )


Q7 = Entry(
    "Q7",
    "what a GPU brings",
    "A",
    (
        Check("seconds an epoch on a CPU and on a GPU", _accelerated, "trains C6 on 2,000 pictures, twice"),
        Check("what augmentation costs", _augmented, "trains C2 and C3 on 2,000 pictures, a minute"),
    ),
)
