"""Lending: whether a training borrows eyes, whose, and what its recipe becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from neocog.data import DATASETS
from neocog.data.dataset import Dataset
from neocog.data.folders.extent import Extent
from neocog.errors import ExtraMissing, UsageError
from neocog.model import Kept, Trained
from neocog.recipes import borrowing
from neocog.recipes.recipe import Recipe
from neocog.tasks.table import TASKS, task_name
from neocog.transfer.features import last_stage
from neocog.transfer.start import NOTHING, Borrowed, asked, borrowed, strength_for
from neocog.world import World
from neocog.zoo.blocks import Network

EYES = "efficientnet_lite1"
"""Whose eyes pictures of one's own get where nothing else is asked for; the extra `eyes` brings them."""
USUAL = 1000
"""Pictures that are assumed where their number is not known before they are read."""


@dataclass(frozen=True, slots=True)
class Lent:
    """A recipe, and the eyes that it begins with (None: it begins with nothing). `reasons` are sentences.
    `open` says that the strength with which the head is held back is still to be found, `words` what the
    command line says of it.
    """

    recipe: Recipe
    eyes: Borrowed | None = None
    reasons: tuple[str, ...] = ()
    open: bool = False
    words: tuple[str, ...] = ()

    @property
    def where(self) -> dict[str, str]:
        """Of a file or run that is borrowed from, its place."""
        return {"where": str(self.eyes.where)} if self.eyes is not None and self.eyes.where else {}

    def settled(self, recipe: Recipe, dataset: Dataset, world: World) -> tuple[Recipe, tuple[str, ...]]:
        """`recipe`, what `self.recipe` became by changes, with what the training pictures decide, and why."""
        if self.eyes is None or not self.open:
            return recipe, ()
        task = TASKS[task_name(dataset.train.y, recipe.task)](dataset.classes)
        preprocess = recipe.preprocess.resolved(dataset.train.x)
        network = self.eyes.trained.network
        return borrowing.held_back(recipe, strength_for(network, task, dataset.train, preprocess, world))


def lend(
    recipe: Recipe,
    start: str | Path | Kept | Trained | None,
    *,
    tune: Sequence[str] = (),
    found: Extent | None = None,
    chosen: bool = False,
) -> Lent:
    """What `recipe` becomes with the eyes that `start` names: 'nothing' for none; None for the recipe's own,
    or for pictures of one's own (`found`) the usual ones where they help. `chosen` says that a network was
    chosen already. `UsageError` where these contradict each other, and for stages that free nothing.
    """
    if isinstance(start, str) and start.lower() == NOTHING:
        start = NOTHING
    freeing = ("--tune", ",".join(tune)) if tune else ()
    if start is not None and str(start) != NOTHING:
        if chosen:
            raise UsageError("--from brings its network; leave out --model, or --from")
        eyes = borrowed(start)
        words = ("--from", eyes.start.name, *freeing)
        if not tune and recipe.start is not None and recipe.start.sha256 == eyes.start.sha256:
            return Lent(recipe, eyes, words=words)  # the recipe's own start, wherever it lies now
        return replace(_with(eyes, recipe, tune, found, ()), words=words)
    if start is None and recipe.start is not None:
        return Lent(recipe, asked(recipe.start))
    usual: tuple[str, ...] = ()
    if start is None and found is not None and not chosen:
        helps, usual = borrowing.suits(found)
        if helps:
            try:
                return replace(_with(borrowed(EYES), recipe, tune, found, usual), words=freeing)
            except ExtraMissing as error:
                usual = (f"from nothing, since the eyes that would help are not installed: {error}",)
    if tune:
        raise UsageError("--tune frees stages of borrowed eyes; say whose: --from NAME, RUN or FILE")
    words = () if start is None else ("--from", NOTHING)
    return Lent(recipe.model_copy(update={"start": None}), reasons=usual, words=words)


def _with(
    eyes: Borrowed, recipe: Recipe, tune: Sequence[str], found: Extent | None, reasons: tuple[str, ...]
) -> Lent:
    _require_freeing(eyes.trained.network, tune)
    built_in = DATASETS.get(recipe.data.name)
    known = recipe.data.limit or (built_in.counts.get("train") if built_in is not None else None)
    made, why = borrowing.borrowing(
        recipe,
        start=eyes.start,
        model=eyes.trained.model,
        preprocess=eyes.trained.preprocess,
        pictures=found.pictures if found is not None else known or USUAL,
        tune=tune,
    )
    return Lent(made, eyes, (*reasons, *why), open=True)


def _require_freeing(network: Network, tune: Sequence[str]) -> None:
    """`UsageError` where a stage of `tune` frees nothing that does not learn already when its turn comes."""
    learns_from = _parameters(network.features)
    for stage in tune:
        frozen = _parameters(network.until(last_stage(network, stage)))
        if frozen >= learns_from:
            raise UsageError(
                f"--tune {','.join(tune)}: all that comes after {stage} learns already; "
                "name a stage before it, and of several the last one first"
            )
        learns_from = frozen


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
