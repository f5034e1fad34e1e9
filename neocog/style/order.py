"""Order: what a painting was asked to be made of, as texts, so that it can be read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neocog.errors import UsageError
from neocog.pictures.decode import AS_IT_IS, Pixels, decode
from neocog.style.scene import Scene, Style


@dataclass(frozen=True, slots=True)
class Order:
    """Files of content and styles; `weights`, `masks` and `style_masks` one for each style, or none; what the
    eyes are called, None for the best at hand or what only Python knows.
    """

    content: str
    styles: tuple[str, ...]
    weights: tuple[float, ...]
    masks: tuple[str, ...]
    style_masks: tuple[str, ...]
    eyes: str | None
    eyes_weights: str | None

    def scene(self) -> Scene:
        """The pictures, read. `UsageError` where the numbers of them do not fit together."""
        count = len(self.styles)
        for word, values in (
            ("style weights", self.weights),
            ("masks", self.masks),
            ("style masks", self.style_masks),
        ):
            if values and len(values) != count:
                raise UsageError(
                    f"{len(values)} {word} for {count} style pictures; give one for each, or none"
                )
        styles = tuple(
            Style(
                decode(Path(name)),
                self.weights[n] if self.weights else 1.0,
                _mask(self.masks[n]) if self.masks else None,
                _mask(self.style_masks[n]) if self.style_masks else None,
            )
            for n, name in enumerate(self.styles)
        )
        return Scene(decode(Path(self.content)), styles)

    def json(self) -> dict[str, Any]:
        """Every field; paths as they are found from elsewhere."""
        return {
            "content": _absolute(self.content),
            "styles": [_absolute(name) for name in self.styles],
            "weights": list(self.weights),
            "masks": [_absolute(name) for name in self.masks],
            "style_masks": [_absolute(name) for name in self.style_masks],
            "eyes": None if self.eyes is None else _absolute(self.eyes),
            "eyes_weights": None if self.eyes_weights is None else _absolute(self.eyes_weights),
        }


def _mask(name: str) -> Pixels:
    """A mask, read; what is transparent there counts as little as what is black."""
    return decode(Path(name), wanted=AS_IT_IS.model_copy(update={"ground": 0}))


def from_json(document: dict[str, Any]) -> Order:
    """What `Order.json` gave."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
    return Order(**fields)


def _absolute(name: str) -> str:
    """A path as an absolute one; a name such as vgg19 as it is."""
    return str(Path(name).resolve()) if Path(name).exists() else name
