"""Features: what the frozen stages of a network make of pictures, computed once and kept on disk.

An entry is one sealed file in the cache. Its key hashes everything that decides the numbers: the pixels, the
Preprocess, the stages with their weights, the kind of device and torch's version, and of augmented copies the
augmentation, its seed and the targets. Where nothing can be written, the features are kept in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neocog import sealed
from neocog.arithmetic import walk
from neocog.data.augment.augment import Augment
from neocog.data.batches import AUGMENT, channels_last, stream
from neocog.data.dataset import Split
from neocog.data.targets import CLASS_INDICES, form_of
from neocog.errors import UnreadableError
from neocog.files import DAY, cache_dir, sweep
from neocog.pictures.decode import Preprocess
from neocog.world import World
from neocog.zoo import Shape
from neocog.zoo.blocks import GlobalPool, Network
from neocog.zoo.modes import evaluating

FORMAT = "neocog features 1"
FOLDER = "features"
"""Of the cache."""
BATCH = 16
"""Pictures at once; of more, the maps leave a CPU's caches."""
MOST = 2**30
"""Bytes of features that are kept at most."""
ALL = "features"
"""In place of a stage's name: all of them."""


@dataclass(frozen=True, slots=True)
class Copies:
    """So many augmented copies of each picture; which ones, `seed` decides."""

    number: int
    augment: Augment
    seed: int
    classes: int


@dataclass(frozen=True, slots=True)
class Features:
    """What the frozen stages make of pictures: `x` float32 (copies, N, ...), with targets `y` (copies, N) or
    (copies, N, classes).
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return self.x.shape[1]


def last_stage(network: Network, freeze: str) -> str:
    """The stage up to which `freeze` freezes: a name that `Network.until` takes, 'features' for all of
    them.
    """
    return list(dict(network.features.named_children()))[-1] if freeze == ALL else freeze


def cut(network: Network, freeze: str) -> str:
    """The stage after which features are kept: that of `freeze`, or the mean over all positions where the
    head begins with one: the less, the better.
    """
    stage = last_stage(network, freeze)
    first = next(iter(network.head.named_children()), None)
    is_last = stage.removeprefix("features.") == last_stage(network, ALL)
    if is_last and first is not None and isinstance(first[1], GlobalPool):
        return f"head.{first[0]}"
    return stage


def nbytes(network: Network, stage: str, shape: Shape, pictures: int) -> int:
    """Bytes that the features of so many `pictures` of `shape` take."""
    return 4 * pictures * math.prod(walk(network.until(stage), shape).output)


def features(
    network: Network,
    stage: str,
    split: Split,
    preprocess: Preprocess,
    *,
    world: World,
    copies: Copies | None = None,
) -> Features:
    """What `network` makes of the pictures of `split` up to and including `stage`, in evaluation mode and the
    precision of `world`, on the CPU; from the cache where it has them. Of `copies` the first is the picture
    as it is.
    """
    beginning = network.until(stage)
    made = [_copy(beginning, split, preprocess, world, None, 0)]
    others = range(1, copies.number if copies is not None else 1)
    made += [_copy(beginning, split, preprocess, world, copies, number) for number in others]
    if copies is not None and not CLASS_INDICES.fits(made[-1][1]):  # mixed pictures show shares of classes
        made[0] = made[0][0], form_of(split.y).shares(split.y, copies.classes)
    x, y = (torch.stack(each) if len(each) > 1 else each[0][None] for each in zip(*made, strict=True))
    return Features(x, y)


def _copy(
    beginning: nn.Module,
    split: Split,
    preprocess: Preprocess,
    world: World,
    copies: Copies | None,
    number: int,
) -> tuple[Tensor, Tensor]:
    """One copy of each picture, its features and targets; targets are kept where augmentation may change
    them."""
    path = cache_dir() / FOLDER / f"{key(beginning, split, preprocess, world, copies, number)}.safetensors"
    with contextlib.suppress(UnreadableError):
        if path.exists():
            kept = sealed.read(path)[0]
            return kept["x"], kept.get("y", split.y)
    parts = list(_computed(beginning, split, preprocess, world, copies, number))
    x, y = (torch.cat(each) for each in zip(*parts, strict=True))
    with contextlib.suppress(OSError, UnreadableError):  # no room or no permission: memory will do
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, older_than=DAY)
        sealed.write(
            path, {"x": x, **({"y": y} if copies is not None else {})}, {"format": FORMAT, "n": len(x)}
        )
    return x, y


@torch.inference_mode()
def _computed(
    beginning: nn.Module,
    split: Split,
    preprocess: Preprocess,
    world: World,
    copies: Copies | None,
    number: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    with evaluating(beginning), world.autocast():
        for start in range(0, len(split), BATCH):
            x, y = split.take(torch.arange(start, min(start + BATCH, len(split))))
            x = channels_last(x.to(world.device))
            if copies is not None:
                draws = stream(copies.seed, AUGMENT, number, start)
                x, y = copies.augment(x.float(), y.to(world.device), copies.classes, draws)
            yield beginning(preprocess.normalise(x)).float().cpu(), y.cpu()


def key(
    beginning: nn.Module,
    split: Split,
    preprocess: Preprocess,
    world: World,
    copies: Copies | None = None,
    number: int = 0,
) -> str:
    """40 hex digits for everything that decides the features."""
    said: dict[str, Any] = {
        "format": FORMAT,
        "torch": torch.__version__,
        "device": world.device.type,
        "precision": world.precision,
        "preprocess": preprocess.model_dump(mode="json"),
        "stages": repr(beginning),
        "weights": digest(dict(beginning.state_dict())),
        "pictures": digest({"x": split.x, **({"y": split.y} if copies is not None else {})}),
    }
    if copies is not None:
        said |= {"copy": number, "seed": copies.seed, "classes": copies.classes}
        said["augment"] = copies.augment.model_dump(mode="json")
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:40]


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, shapes, kinds and values."""
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        for piece in torch.split(tensor.detach().reshape(len(tensor) if tensor.ndim else 1, -1), 4096):
            found.update(piece.cpu().contiguous().numpy().data)
    return found.hexdigest()
