"""G1 to G4: colours and shapes, which the program draws."""

from __future__ import annotations

from collections.abc import Iterator

from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.row import Row, seen
from neocog.figures.training import Training, trained
from neocog.recipes.chapters import RECIPES
from neocog.verbs.explain import explain
from neocog.verbs.predict import predict

DENSE = ("model.name=g-dense", "preprocess.channels=1", "epochs=100")
"""C's rival of every task: the dense network on grey pixels."""
LIKE_THE_OTHERS = ("preprocess.scale=unit", "model.init=null", "optim.clip=0", "seed=1")
"""Undoes what G1's two filters need and a dense network does not: the rivals of all three learn alike."""
EIGHT = tuple(range(8))
FEW = ("epochs=2", "data.limit=450")
"""Makes seconds of a training."""


def _dense(recipe: str, published: float, *, outside: bool = False, more: tuple[str, ...] = ()) -> Training:
    return Training(
        recipe=recipe,
        what="the dense network on grey pixels",
        changes=(*more, *DENSE),
        published=published,
        outside=outside,
    )


def _stages(asked: Asked) -> Iterator[Row]:
    for name in ("g1", "g2", "g3"):
        run = trained(RECIPES[name], asked, name=name, seed=RECIPES[name].seed)
        items = predict(run, split="test").items
        first = {item.truth: i for i, item in reversed(list(enumerate(items)))}
        found = explain(run, split="test", index=sorted(first.values()), how="maps")
        found.save(asked.file(f"G4-{name}-stages.png"))
        predict(run, split="test", index=range(20)).save(asked.file(f"G4-{name}-answers.png"))
        yield seen(f"{name}: every stage for a picture of each class", f"{len(first)} classes")


ENTRIES = (
    Entry(
        "G1",
        "name the colour",
        "C",
        (
            Training(recipe="g1", what="the convolutional network"),
            Training(recipe="g1", what="under eight seeds", seeds=EIGHT),
            _dense("g1", 0.8, outside=True, more=LIKE_THE_OTHERS),
        ),
    ),
    Entry(
        "G2",
        "name the shape",
        "C",
        (Training(recipe="g2", what="the convolutional network"), _dense("g2", 0.898)),
    ),
    Entry(
        "G3",
        "name both",
        "C",
        (Training(recipe="g3", what="the convolutional network", short=FEW), _dense("g3", 0.89)),
    ),
    Entry("G4", "how it works", "C", (Check("every stage as pictures", _stages, "trains g1, g2 and g3"),)),
)
