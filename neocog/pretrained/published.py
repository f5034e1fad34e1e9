"""Published: a network that others trained, with what its file or its release says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neocog.pictures.preprocess import Preprocess
from neocog.zoo import Model, Shape
from neocog.zoo.blocks import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A network with public weights, in evaluation mode, float32. `classes` is empty without a classifier.

    `doubt` is what our own file says of when not to believe an answer, as `Doubt.packed` wrote it.
    `provenance`: file, its SHA-256, source, layout, licence where known, manner.
    """

    network: Network
    model: Model
    shape: Shape
    classes: tuple[str, ...]
    preprocess: Preprocess
    provenance: Mapping[str, Any]
    task: str = "classify"
    doubt: Mapping[str, Any] | None = None
