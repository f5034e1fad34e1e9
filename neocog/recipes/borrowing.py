"""The recipe of a training that borrows eyes: a new head on frozen features, then small steps in stages."""

from __future__ import annotations

from collections.abc import Sequence

from neocog.data.folders.extent import Extent
from neocog.optim.settings import Optim
from neocog.pictures.decode import Preprocess
from neocog.recipes.chapters import SMALL
from neocog.recipes.recipe import Phase, Recipe, Start, Stop
from neocog.show.words import percent, plural
from neocog.tasks import logistic
from neocog.tasks.intervals import wilson
from neocog.zoo import Head, Model

HEAD_STEPS = 250
"""Training steps that the head gets, about; of few pictures it begins at its optimum already."""
HEAD_EPOCHS = (20, 60)
"""Fewest and most."""
HEAD = Optim(kind="nesterov", lr=3e-3, schedule="cosine")
STRENGTH = 0.1
"""The L2 penalty of the head where cross-validation cannot be: one picture a class."""
BATCH = 32
HELD_OUT = 0.1
"""At most: the strength of the head is chosen on the training pictures, so few need to watch."""
SPARED = logistic.MOST
"""Pictures up to which none is held out of a head's training: cross-validation says what those would say."""
GREY_ENOUGH, ENOUGH = 10, 2000
"""Pictures a class from which small grey ones, and small ones, are learned better from nothing: see the study
in docs/transfer.md.
"""
FEW = 500
"""Training pictures up to which tuning is decided by leaving them out in turn, so that none is held out."""
TUNE_EPOCHS = 8
TUNE = Optim(kind="nesterov", lr=3e-3, warmup=1.0, clip=1.0, rates=0.8)
"""Without a falling schedule, so that tuning may end after any epoch."""
OF_PICTURES = ("levels", "ground", "reading", "max_pixels", "background")
"""Fields of a Preprocess that are the pictures' matter, not the weights': how files are decoded, and how
bright the border of the training pictures is.
"""
COPIES = 4
"""Augmented copies of each picture of which the frozen stages are computed once."""


def suits(found: Extent) -> tuple[bool, tuple[str, ...]]:
    """Whether borrowed eyes are likely better than none for pictures of one's own, and why, in sentences."""
    small = found.size is not None and max(found.size) <= SMALL
    each = found.pictures // max(found.classes, 1)
    if small and each >= (GREY_ENOUGH if found.grey else ENOUGH):
        kind = "small grey pictures" if found.grey else "small pictures"
        return False, (
            f"from nothing: {kind}, {each} a class, are learned better than borrowed eyes see them; "
            "--from efficientnet_lite1 borrows all the same",
        )
    return True, ()


def borrowing(
    recipe: Recipe,
    *,
    start: Start,
    model: Model,
    preprocess: Preprocess,
    pictures: int,
    tune: Sequence[str] = (),
) -> tuple[Recipe, tuple[str, ...]]:
    """`recipe` begun with the features of `model`, which `start` names, and the reasons as sentences.

    The head is new and is trained first, everything before it frozen and computed once. Then each stage that
    `tune` names frees everything after it, in turn, for small steps under the recipe's augmentation.
    `preprocess` is the one of the borrowed weights; what is the pictures' matter stays. There are about so
    many `pictures`. Few are all learned from; of many some are held out, and where stages are freed the best
    epoch by them is kept, which may be one of the head alone.
    """
    of_pictures = {name: getattr(recipe.preprocess, name) for name in OF_PICTURES}
    epochs = min(max(round(HEAD_STEPS * BATCH / max(pictures, 1)), HEAD_EPOCHS[0]), HEAD_EPOCHS[1])
    augment = recipe.phases[-1].augment
    optim = HEAD.model_copy(update={"weight_decay": STRENGTH})
    head = Phase(epochs=epochs, optim=optim, freeze="features")
    tuned = Phase(epochs=TUNE_EPOCHS, optim=TUNE, augment=augment, statistics="kept")
    copies = 0 if augment.is_off else COPIES
    freed = [tuned.model_copy(update={"freeze": stage, "copies": copies}) for stage in tune]
    held_out = 0.0 if pictures <= (FEW if tune else SPARED) else min(recipe.data.held_out, HELD_OUT)
    made = recipe.model_copy(
        update={
            "start": start,
            "model": model.model_copy(update={"head": Head(norm="standard")}),
            "preprocess": preprocess.model_copy(update=of_pictures),
            "phases": (head, *freed),
            "data": recipe.data.model_copy(update={"held_out": held_out}),
            "batch": BATCH,
            "label_smoothing": 0.0,
            "stop": Stop(select="best" if freed else "last"),
        }
    )
    return made, tuple(_reasons(made, head, freed))


def held_back(recipe: Recipe, found: logistic.CrossValidated | None) -> tuple[Recipe, tuple[str, ...]]:
    """`recipe` with the L2 penalty of its head as cross-validation found it (None: it could not be), and the
    reason as a sentence.
    """
    if found is None:
        return recipe, (
            f"weight decay {STRENGTH:g} of the head: cross-validation needs two pictures of every class, "
            "and a few of every label",
        )
    first = recipe.phases[0]
    optim = first.optim.model_copy(update={"weight_decay": found.strength})
    phases = (first.model_copy(update={"optim": optim}), *recipe.phases[1:])
    right = percent(found.right / found.n, wilson(found.right, found.n))
    return recipe.model_copy(update={"phases": phases}), (
        f"weight decay {found.strength:g} of the head, chosen by cross-validation on the training pictures: "
        f"left out in turn, {right} of {found.n:,} are answered right",
    )


def _reasons(recipe: Recipe, head: Phase, freed: Sequence[Phase]) -> list[str]:
    assert recipe.start is not None  # it borrows
    words = [
        f"borrowed eyes: the features of {recipe.start.name}, frozen and computed once, under a new head "
        f"({plural(head.epochs, 'epoch')}); --from nothing trains from nothing"
    ]
    words += [
        f"then at most {plural(p.epochs, 'epoch')} of small steps in everything after {p.freeze}"
        for p in freed
    ]
    if recipe.balance == "loss":
        words.append(
            "the loss lets each class count alike, however few its pictures are; else: --set balance=none"
        )
    return words
