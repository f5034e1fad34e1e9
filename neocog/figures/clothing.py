"""E1 to E9: clothing, Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Iterator

from neocog.data.augment.augment import augmentation
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.further import E8
from neocog.figures.rivals import Rivals, Way
from neocog.figures.row import Row, fact, seen
from neocog.figures.training import Training, trained
from neocog.recipes.chapters import RECIPES
from neocog.runs.run import Run
from neocog.verbs.explain import explain
from neocog.verbs.look import look
from neocog.verbs.predict import predict

NEEDED = "needs Fashion-MNIST's files and trains E1, about 10 minutes"
PREVIEWS = {
    "mirrored": ("flip=horizontal",),
    "mirrored both ways": ("flip=both",),
    "turned": ("rotation=30",),
    "shifted along": ("shift_width=8",),
    "shifted both ways": ("shift_width=8", "shift_height=8"),
}
"""E6's five kinds of augmentation."""
OTHER_ORDER = "the pictures are here in another order than the original's: each seed draws another 500"
DRAWS = tuple(range(10))
UNWATCHED = ("data.val=none",)
"""Of E2 and E3, whose test pictures are watched after every epoch: that takes most of their time, and decides
nothing.
"""


def _of_500(recipe: str) -> Training:
    return Training(recipe=recipe, changes=UNWATCHED, seeds=DRAWS, drawn=True, remark=OTHER_ORDER)


def _e1(asked: Asked) -> Run:
    return trained(RECIPES["e1"], asked, name="e1", seed=RECIPES["e1"].seed)


def _shown(asked: Asked) -> Iterator[Row]:
    run = _e1(asked)
    items = predict(run, split="test", index=range(200)).items
    for word, wanted in (("right", True), ("wrong", False)):
        chosen = next(i for i, item in enumerate(items) if (item.top[0].name == item.truth) is wanted)
        predict(run, split="test", index=[chosen]).save(asked.file(f"E4-{word}.png"))
        yield seen(
            f"the first {word} one", f"test[{chosen}]: {items[chosen].truth} as {items[chosen].top[0].name}"
        )


def _kernels(asked: Asked) -> Iterator[Row]:
    found = explain(_e1(asked), how="filters", layer="conv2", channel=0, first=16)
    found.save(asked.file("E5-filters.png"))
    yield fact("filters shown, 4x4", 16, found.answer.facts["shown"])
    yield fact("filters of the second convolution", 64, found.answer.facts["filters"][0])


def _previews(asked: Asked) -> Iterator[Row]:
    for words, changes in PREVIEWS.items():
        look("fashion-mnist", augment=augmentation(changes), index=0).save(
            asked.file(f"E6-{words.replace(' ', '-')}.png")
        )
    yield fact("kinds of augmentation shown", 5, len(PREVIEWS))


def _sheets(asked: Asked) -> Iterator[Row]:
    found = look("fashion-mnist")
    yield fact("training pictures", 60_000, found.json()["pictures"]["train"])
    yield fact("test pictures", 10_000, found.json()["pictures"]["test"])
    found.save(asked.file("E9-first.png"))
    look("fashion-mnist", index=42).save(asked.file("E9-one.png"))
    look("fashion-mnist", view="by-class").save(asked.file("E9-classes.png"))
    yield seen("the sheets", "one with its scale, the first 16, three rows of every class")


ENTRIES = (
    Entry("E1", "three convolutions", "E", (Training(recipe="e1"),)),
    Entry("E2", "500 pictures only", "E", (_of_500("e2"),)),
    Entry(
        "E3",
        "E2 with augmentation",
        "E",
        (
            _of_500("e3"),
            Rivals(
                what="augmentation helps 500 pictures",
                ours=Way(name="with it", recipe="e3", changes=UNWATCHED, drawn=True),
                theirs=Way(name="without", recipe="e2", changes=UNWATCHED, drawn=True),
                picture="E3-augmentation",
                seeds=DRAWS,
            ),
        ),
    ),
    Entry("E4", "one answer shown", "E", (Check("one right and one wrong answer", _shown, NEEDED),)),
    Entry("E5", "learned filters", "E", (Check("the filters of the second convolution", _kernels, NEEDED),)),
    Entry(
        "E6", "augmentation previewed", "E", (Check("previews", _previews, "needs Fashion-MNIST's files"),)
    ),
    Entry(
        "E7",
        "C's dense and convolutional networks",
        "C",
        (
            Training(recipe="e7-dense", what="dense"),
            Training(recipe="e7", what="convolutional", outside=True),
        ),
    ),
    E8,
    Entry("E9", "data sheets", "E", (Check("data sheets", _sheets, "needs Fashion-MNIST's files"),)),
)
