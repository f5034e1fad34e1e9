"""Class maps: the methods that say which places of a picture speak for a class, as one kind of method.

Such a method is a function (network, x (N, C, H, W), *, score[, layer]) of tensors; here its numbers become
an answer about pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Picture, Question
from neocog.inside.explain.score import ClassScore, ProbabilityScore, Score
from neocog.inside.explain.verdict import Verdict, Word, judge
from neocog.show import false_colours
from neocog.show.words import percent

_NO_NUMBERS = "the network's numbers are not finite here"
Shown = Literal["heat", "size", "signed", "picture"]


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A method of explaining made of `how`, a function of network, input and score.

    looks  'at maps' of a layer, which `how` is given as `layer`; or 'at pixels'
    shown  heat     a map (N, h, w) that is never negative, over the picture
           size     the largest absolute value over channels of (N, C, H, W), as heat
           signed   the sum over channels of (N, C, H, W), or (N, H, W): red for the class, blue against it
           picture  (N, C, H, W) as a picture, zero being grey
    blank  why a map may be blank, in words
    scale  whether it is about the class's logit or its probability
    most   the best verdict that it can have
    """

    how: Callable[..., Tensor]
    looks: Literal["at maps", "at pixels"]
    shown: Shown
    blank: str
    scale: Literal["logit", "probability"] = "logit"
    most: Word = "use"

    def __call__(self, question: Question) -> Answer:
        """The map of every picture, beside it."""
        layer = question.layer_or() if self.looks == "at maps" else None
        panels: list[Panel] = []
        lines = [f"layer {layer.name}: {layer.reason}"] if layer else []
        arrays, facts = {}, []
        for number, picture in enumerate(question.pictures):
            x, score = question.x(number), question.score(number, self.scale)
            values, blank = self._one(question, x, score, layer.name if layer else None)
            weight = self.weight(values[None], x.shape[2:])[0]
            arrays[f"map{number + 1}"] = values.cpu().numpy()
            place = _strongest(weight)
            lines.append(f"{picture.name}: {_said(question, picture)}; {_where(place, blank)}")
            facts.append(_fact(question, picture, place, blank))
            if question.check == "verdict":
                found = self._judged(question, number, layer.name if layer else None)
                lines.append(f"  {found.text()}")
                facts[-1]["verdict"] = found.json()
            title, pixels = self._drawn(values, weight, picture, blank if place is None else "")
            panels.append(Panel(f"{picture.name}: {_said(question, picture)}", picture.pixels))
            two = question.against is not None and self.shown == "heat"
            panels.append(Panel(title or (question.named(picture.of) if two else ""), pixels))
            if two:
                panel, back, line = self._other_way(question, number, layer.name if layer else None)
                panels.append(panel)
                lines.append(line)
                arrays[f"against{number + 1}"] = back
        across = _columns(len(panels), len(panels) // max(1, len(question.pictures)))
        sheets = (Sheet(tuple(panels), columns=across, caption=_legend(self.shown)),)
        named = {"layer": layer.name if layer else None, "pictures": facts}
        return Answer(sheets=sheets, lines=tuple(lines), arrays=arrays, facts=named)

    def _other_way(self, question: Question, number: int, layer: str | None) -> tuple[Panel, Any, str]:
        """A heat map has no negative side, so what speaks for the other class is a map of its own."""
        picture, against = question.pictures[number], question.against
        assert against is not None
        x = question.x(number)
        values, blank = self._one(question, x, ClassScore(against, picture.of), layer)
        weight = self.weight(values[None], x.shape[2:])[0]
        place = _strongest(weight)
        said = f"{question.named(against)} against {question.named(picture.of)}"
        title, pixels = self._drawn(values, weight, picture, blank if place is None else "")
        where = f"{picture.name}: {said}; {_where(place, blank)}"
        return Panel(title or question.named(against), pixels), values.cpu().numpy(), where

    def _judged(self, question: Question, number: int, layer: str | None) -> Verdict:
        """The verdict on the map of the picture `number`."""
        x, score = question.x(number), question.score(number, self.scale)
        of = question.pictures[number].of

        def weigh(network: nn.Module) -> Tensor:
            values = _finite(self.values(network, x, score=score, layer=layer))
            return self.weight(values, tuple(x.shape[2:]))[0]

        probability = ProbabilityScore(of, question.probabilities)
        return judge(question.network, x, weigh, probability, most=self.most, seed=question.seed)

    def values(self, network: nn.Module, x: Tensor, *, score: Score, layer: str | None = None) -> Tensor:
        """What `how` says of `x`."""
        more = {"layer": layer} if self.looks == "at maps" else {}
        return self.how(network, x, score=score, **more)

    def _one(self, question: Question, x: Tensor, score: Score, layer: str | None) -> tuple[Tensor, str]:
        """The values of one picture, zeros where some are no numbers, and why the map may be blank."""
        found = self.values(question.network, x, score=score, layer=layer)[0]
        values = _finite(found)
        return values, self.blank if values is found else _NO_NUMBERS

    def weight(self, values: Tensor, size: tuple[int, ...]) -> Tensor:
        """(N, h, w) or (N, C, H, W), as `how` gives it -> how strongly each pixel counts, (N, *size), never
        negative.
        """
        flat = values.abs().amax(1) if values.ndim == 4 and self.shown in ("size", "picture") else values
        flat = flat.sum(1) if flat.ndim == 4 else flat
        if tuple(flat.shape[1:]) != tuple(size):
            flat = F.interpolate(flat[:, None], size, mode="bilinear", align_corners=False)[:, 0]
        return flat.clamp(min=0)

    def _drawn(self, values: Tensor, weight: Tensor, picture: Picture, blank: str) -> tuple[str, Any]:
        """The title and the picture of one map; `blank`: why, where no place is strong."""
        if blank and not bool(values.any()):
            return f"blank: {blank}", picture.pixels
        numbers = np.asarray(values.cpu())
        if self.shown == "picture":
            return "", false_colours.around_grey(_without_tips(numbers))
        if self.shown == "signed":
            return "", false_colours.signed(_without_tips(numbers.sum(0) if numbers.ndim == 3 else numbers))
        if self.shown == "heat":
            return "", false_colours.heat(np.maximum(numbers, 0), over=picture.pixels)
        return "", false_colours.heat(_without_tips(np.asarray(weight.cpu())))


def _finite(values: Tensor) -> Tensor:
    """`values`, or zeros where some of them are no finite numbers."""
    return values if bool(values.isfinite().all()) else torch.zeros_like(values)


def _without_tips(values: Any) -> Any:
    """The strongest hundredth cut to the next below: a few pixels would leave all others without colour."""
    most = np.quantile(np.abs(values), 0.99)
    return values.clip(-most, most) if most > 0 else values


def _strongest(weight: Tensor) -> tuple[int, int] | None:
    """The row and column of the largest value; None where all are zero."""
    if not bool(weight.any()):
        return None
    place = int(weight.argmax())
    return place // weight.shape[1], place % weight.shape[1]


def _said(question: Question, picture: Picture) -> str:
    against = f" against {question.named(question.against)}" if question.against is not None else ""
    return f"{question.named(picture.of)} ({percent(picture.probability, digits=1)}){against}"


def _where(place: tuple[int, int] | None, blank: str) -> str:
    return f"strongest at {place[0]},{place[1]}" if place else f"blank: {blank}"


def _fact(question: Question, picture: Picture, place: tuple[int, int] | None, blank: str) -> dict[str, Any]:
    return {
        "file": picture.name,
        "class": question.named(picture.of),
        "index": picture.of,
        "probability": picture.probability,
        "strongest": list(place) if place else None,
        "blank": "" if place else blank,
    }


def _columns(panels: int, each: int) -> int:
    """Columns for so many panels, `each` of a picture, which stay together."""
    return each * (1 if panels <= 4 * each else 2 if panels <= 20 * each else 4)


def _legend(shown: Shown) -> str:
    return {
        "heat": "each map by itself, from dark to bright yellow, over the picture",
        "size": "from dark (none) to bright yellow, the strongest hundredth alike; each by itself",
        "signed": "red speaks for the class, blue against it, the strongest hundredth alike; each by itself",
        "picture": "grey is zero, the strongest hundredth alike; each by itself",
    }[shown]
