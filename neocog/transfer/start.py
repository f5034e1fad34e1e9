"""The start of a training that borrows: which network, checked, and its features given to a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from neocog import sealed
from neocog.data.dataset import Split
from neocog.errors import CheckFailed, UnreadableError, UsageError
from neocog.model import Kept, Trained, names_network, open_trained
from neocog.pictures.decode import Preprocess
from neocog.pretrained.releases import RELEASES
from neocog.recipes.recipe import Start
from neocog.tasks import logistic
from neocog.tasks.task import Task
from neocog.transfer.features import ALL, cut, digest, features
from neocog.world import World
from neocog.zoo import ZOO
from neocog.zoo.blocks import Network
from neocog.zoo.head import Standardise

NOTHING = "nothing"
"""The start that is none: weights are drawn."""


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A network whose features are borrowed, how a recipe calls it, and the file or run that it was read of,
    as an absolute path (None: it was no file's).
    """

    trained: Trained
    start: Start
    where: Path | None = None

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
    weights; in Python an object), with the digest of what was found. `UsageError` for a network of the zoo
    without public weights.
    """
    if isinstance(what, str) and names_network(what) and what not in RELEASES:
        raise UsageError(
            f"'{what}' has no public weights, so there is nothing to borrow; give a run or a file of it, "
            f"one of {', '.join(RELEASES)}, or '{NOTHING}'"
        )
    if isinstance(what, str) and what.lower() == NOTHING and not Path(what).exists():
        raise UsageError(f"'{what}' lends no eyes; give a run, a file, or one of {', '.join(RELEASES)}")
    trained = open_trained(what)
    if isinstance(what, Trained):
        name = str(trained.path or trained.model.name or "a network of Python's")
    else:
        name = str(what if isinstance(what, str | Path) else what.path)
    said = Path(name).name if Path(name).is_absolute() else name
    where = Path(name).resolve() if Path(name).exists() and not names_network(name) else None
    return Borrowed(trained, Start(name=said, sha256=_digest(trained)), where)


def _digest(trained: Trained) -> str:
    """Of the file that the weights came in, else of the weights."""
    if trained.path is not None and sealed.is_sealed(trained.path):
        return sealed.digest(trained.path)
    return str(trained.provenance.get("sha256") or digest(dict(trained.network.state_dict())))


def asked(start: Start, where: str | Path | None = None) -> Borrowed:
    """What a recipe's `start` names, looked for at `where` first. `UnreadableError` where there is nothing,
    `CheckFailed` where something else is found.
    """
    place = start.name if where is None or not Path(where).exists() else where
    if str(place) not in ZOO and not Path(place).exists():
        of = f" (SHA-256 {start.sha256})" if start.sha256 else ""
        missing = f"no file at {where or start.name} and no network of that name"
        raise UnreadableError(
            f"the recipe begins with {start.name}{of}, but there is {missing}; "
            "put it there, or begin anew with --from FILE"
        )
    found = borrowed(place)
    if start.sha256 not in (None, found.start.sha256):
        raise CheckFailed(
            f"the recipe begins with {start.name} of SHA-256 {start.sha256}, what is found there has "
            f"{found.start.sha256}; give the one of then with --from, or leave the digest out"
        )
    return found


@torch.no_grad()
def open_head(network: Network, seen: Callable[[], Tensor], y: Tensor, task: Task, strength: float) -> None:
    """Where the head standardises: give it mean and scale of the features `seen`, (N, width, ...), of the
    training pictures with targets `y`. Its answer begins where the loss of `task` under the L2 penalty
    `strength` is lowest, or undecided, at zero, where there is no penalty, a layer between, or more than
    `logistic.MOST` pictures. Else nothing is done, and nothing seen.
    """
    layers = list(network.head.children())
    standard = next((m for m in layers if isinstance(m, Standardise)), None)
    if standard is None:
        return
    x = seen().flatten(1).to(standard.mean.device)
    standard.fit(x)
    answer = [m for m in network.head.modules() if isinstance(m, nn.Linear)][-1]
    answer.weight.zero_()
    answer.bias.zero_()
    if strength and layers[-2] is standard and len(y) <= logistic.MOST:
        with torch.enable_grad():
            found = logistic.fitted(task, standard(x), y.to(x.device), strength)
        answer.weight.copy_(found.weight)
        answer.bias.copy_(found.bias)


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
