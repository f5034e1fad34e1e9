"""Activation maximisation: the picture that a class or a channel answers to most strongly.

Classes of a network for small pictures are climbed on a `Facet`, within what training pictures that are alike
can be: without, such networks are content with shreds. All else, and all where the training pictures are not
there, is climbed on `Waves`. The picture is moved about and scaled a little at every step, so that what
remains does not hang on single pixels; a class is climbed by the logarithm of its probability with a tenth of
its logit, so that what would speak for other classes stays away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from neocog.errors import NeocogError
from neocog.inside.canvas import Canvas, Facet, Facets, Waves
from neocog.inside.capture import capture, capture_gradients
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Question
from neocog.inside.explain.score import ChannelScore, ClassScore, Score
from neocog.optim.uncompiled import compiler_left_out, moved
from neocog.pictures.preprocess import Preprocess
from neocog.zoo.modes import evaluating

STEPS, RATE = 128, 0.05
MOST_CLASSES, MOST_CHANNELS = 10, 16
WIDEST = 64
"""Pixels a side: the largest pictures of which a mean of several still shows something."""


def maximise(question: Question) -> Answer:
    """A picture for each class asked for (without one: the first ten), or for the channels of a layer."""
    wanted = _wanted(question)
    facets, reason = _facets(question)
    panels, arrays, facts, lines = [], {}, [], [reason]
    for name, score in wanted.items():
        climbed = likely(score.of, question.probabilities) if _alone(score) else score
        canvas = _canvas(question, facets, climbed)
        pixels = strongest_picture(
            question.network,
            climbed,
            shape=question.shape,
            preprocess=question.preprocess,
            seed=question.seed,
            canvas=canvas,
        )
        plain = np.full_like(pixels, 127) if canvas is None else _as_pixels(canvas.mean)
        reached, begun = (_number(question, score, some) for some in (pixels, plain))
        arrays[name] = pixels
        panels.append(Panel(f"{name} {reached:.3g}", pixels))
        lines.append(
            f"{name}: {reached:.4g}, of {'plain grey' if canvas is None else 'the mean'} {begun:.4g}"
        )
        facts.append({"of": name, "reached": reached, "grey" if canvas is None else "mean": begun})
    caption = f"the pictures that are answered most strongly, after {STEPS} steps; with the number reached"
    sheet = Sheet(tuple(panels), caption)
    return Answer(sheets=(sheet,), lines=tuple(lines), arrays=arrays, facts={"pictures": facts})


def strongest_picture(
    network: nn.Module,
    score: Score,
    *,
    shape: tuple[int, ...],
    preprocess: Preprocess,
    steps: int = STEPS,
    seed: int = 0,
    canvas: Canvas | None = None,
) -> Any:
    """uint8 (C, H, W) of `shape`, found by climbing `score` for so many steps on `canvas` (None: `Waves`),
    with the draws of `seed`.
    """
    generator = torch.Generator().manual_seed(seed)
    held_by = canvas or Waves(shape, preprocess.background)
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    held = held_by.begin(generator).to(device)
    with capture_gradients(network, []):
        held.requires_grad_()
        with compiler_left_out():
            climber = torch.optim.Adam([held], lr=RATE)
        for _ in range(steps):
            x = preprocess.normalise(255 * held_by.moved(held_by.picture(held), generator))
            held.grad = None
            (held_by.cost(held) - score(network, x).mean()).backward()  # type: ignore[no-untyped-call]
            moved(climber)
        return _as_pixels(held_by.picture(held).detach())


def likely(of: int, probabilities: Callable[[Tensor], Tensor]) -> Score:
    """The logarithm of the probability of class `of`, and a tenth of its logit."""

    def score(network: nn.Module, x: Tensor) -> Tensor:
        logits: Tensor = network(x)
        return probabilities(logits)[:, of].clamp(min=1e-12).log() + 0.1 * logits[:, of]

    return score


def _as_pixels(picture: Tensor) -> Any:
    """uint8 (C, H, W) of 0..1; numbers that are none are black."""
    return np.asarray((255 * picture.clamp(0, 1)).nan_to_num().round().cpu(), dtype=np.uint8)


@torch.no_grad()
def _number(question: Question, score: Score, pixels: Any) -> float:
    """What the network answers to a picture."""
    x = question.preprocess.normalise(torch.from_numpy(pixels)[None].to(question.blank().device))
    with evaluating(question.network):
        return float(score(question.network, x)[0])


def _facets(question: Question) -> tuple[Facets | None, str]:
    """The facets of the training pictures, where classes of small pictures are asked for; what is done."""
    if question.layer is not None:
        return None, "begun with noise"
    if len(question.shape) != 3 or max(question.shape[1:]) > WIDEST:
        return (
            None,
            f"begun with noise; pictures up to {WIDEST} pixels a side with a mean of training pictures",
        )
    try:
        pictures = question.split("train").x
    except NeocogError as error:
        return None, f"begun with noise, as there are no training pictures ({error})"
    found = Facets.of(pictures)
    near = found.near.shape[1]
    return found, f"begun with the mean of {near} training pictures that are alike, and kept near such"


def _canvas(question: Question, facets: Facets | None, score: Score) -> Facet | None:
    if facets is None:
        return None
    preprocess, device = question.preprocess, question.blank().device
    with evaluating(question.network):
        return facets.strongest(lambda x: score(question.network, preprocess.normalise(255 * x.to(device))))


def _alone(score: ClassScore | ChannelScore) -> TypeGuard[ClassScore]:
    return isinstance(score, ClassScore) and score.against is None


def _wanted(question: Question) -> dict[str, ClassScore | ChannelScore]:
    """What is to be answered strongly, by name."""
    if question.layer is not None:
        count = _channels(question, question.layer)
        chosen = range(min(count, question.first or MOST_CHANNELS))
        some = chosen if question.channel is None else [question.channel]
        return {f"{question.layer} {n}": ChannelScore(question.layer, n, question.at, "mean") for n in some}
    classes = [question.of] if question.of is not None else range(len(question.classes))
    most = question.first or MOST_CLASSES
    return {
        question.named(of): ClassScore(of, question.against if question.against != of else None)
        for of in list(classes)[:most]
    }


@torch.no_grad()
def _channels(question: Question, layer: str) -> int:
    """How many channels a layer puts out."""
    with evaluating(question.network), capture(question.network, [layer]) as found:
        question.network(question.blank())
    return int(found[layer].shape[1])
