"""The start of a training that borrows: which network, checked, and its features given to a new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from neocog import sealed
from neocog.data.dataset import Split
from neocog.errors import CheckFailed, UsageError
from neocog.model import Kept, Trained, open_trained
from neocog.pictures.decode import Preprocess
from neocog.recipes.recipe import Start
from neocog.tasks import logistic
from neocog.tasks.task import Task
from neocog.transfer.features import ALL, cut, digest, features
from neocog.world import World
from neocog.zoo.blocks import Network
from neocog.zoo.head import Standardise

NOTHING = "nothing"
"""The start that is none: weights are drawn."""


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A network whose features are borrowed, and how a recipe calls it."""

    trained: Trained
    start: Start

    def give(self, network: Network) -> None:
        """Copy the weights and buffers of the features into `network`, in place. `UsageError` where these are
        others.
        """
        theirs, ours = self.trained.network.features, network.features
        sizes = ({name: tuple(t.shape) for name, t in part.state_dict().items()} for part in (theirs, ours))
        given, wanted = sizes
        if given != wanted:
            odd = next(name for name in [*wanted, *given] if given.get(name) != wanted.get(name))
            raise UsageError(
                f"{self.start.name} has other features than the recipe's network (the first that differs: "
                f"{odd}, {given.get(odd, 'missing')} for {wanted.get(odd, 'none')}); leave out --model"
            )
        ours.load_state_dict(theirs.state_dict())


def borrowed(what: str | Path | Kept | Trained) -> Borrowed:
    """What `what` names (a network of the zoo with public weights, a run, a model file, another library's
    weights; in Python an object), with the digest of what was found.
    """
    trained = open_trained(what)
    if isinstance(what, Trained):
        name = str(trained.path or trained.model.name or "a network of Python's")
    else:
        name = str(what if isinstance(what, str | Path) else what.path)
    said = Path(name).name if Path(name).is_absolute() else name
    return Borrowed(trained, Start(name=said, sha256=_digest(trained)))


def _digest(trained: Trained) -> str:
    """Of the file that the weights came in, else of the weights."""
    if trained.path is not None and sealed.is_sealed(trained.path):
        return sealed.digest(trained.path)
    return str(trained.provenance.get("sha256") or digest(dict(trained.network.state_dict())))


def asked(start: Start) -> Borrowed:
    """What a recipe's `start` names. `CheckFailed` where something else is found under that name."""
    found = borrowed(start.name)
    if start.sha256 not in (None, found.start.sha256):
        raise CheckFailed(
            f"the recipe begins with {start.name} of SHA-256 {start.sha256}, what is found there has "
            f"{found.start.sha256}; give the one of then with --from, or leave the digest out"
        )
    return found


@torch.no_grad()
def open_head(network: Network, train: Split, preprocess: Preprocess, world: World) -> None:
    """Where the head standardises: give it mean and scale of the features of the training pictures, and let
    its answer begin undecided, at zero, from where the penalty of large weights is felt alike by all.
    """
    standard = next((m for m in network.head.children() if isinstance(m, Standardise)), None)
    if standard is None:
        return
    seen = features(network, cut(network, ALL), train, preprocess, world=world)
    standard.fit(seen.x[0].to(world.device))
    answer = [m for m in network.head.modules() if isinstance(m, nn.Linear)][-1]
    answer.weight.zero_()
    if answer.bias is not None:
        answer.bias.zero_()


def strength_for(
    network: Network, task: Task, train: Split, preprocess: Preprocess, world: World
) -> logistic.CrossValidated | None:
    """How strongly the answer is best held back, by cross-validation on the features of the training
    pictures: see `logistic.cross_validated`.
    """
    seen = features(network, cut(network, ALL), train, preprocess, world=world)
    x = seen.x[0].flatten(1)
    standard = Standardise(x.shape[1])
    standard.fit(x)
    return logistic.cross_validated(task, standard(x), seen.y[0])
