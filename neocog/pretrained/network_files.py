"""A network given as a JSON file: our layer list, or Keras' Sequential; whoever reads one asks here."""

from __future__ import annotations

from typing import Any

from neocog.pretrained.keras import sequential
from neocog.zoo.layer_list import Layer, parse


def layers_of(document: Any) -> tuple[Layer, ...]:
    """The layers of a JSON `document`: {"layers": [...]}, the bare array, or what Keras' `to_json` writes.

    `UsageError` names the layer and the field, option or activation that cannot be read.
    """
    return sequential.read(document)[0] if sequential.is_sequential(document) else parse(document)
