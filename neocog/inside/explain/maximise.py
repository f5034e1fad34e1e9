"""Activation maximisation: the picture that a class or a channel answers to most strongly.

After Olah, Mordvintsev and Schubert, "Feature Visualization", 2017, https://distill.pub/2017/feature-visualization:
the picture is held as its spectrum, slow waves weighing more (1/f), pixels stay within 0..255, colours are
correlated as in photos, and it is moved about and scaled a little at every step, so that what remains does
not hang on single pixels. It begins at the background of the training pictures; a class is climbed by the
logarithm of its probability with a tenth of its logit, so that what would speak for other classes stays away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.inside.capture import capture, capture_gradients
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Question
from neocog.inside.explain.score import ChannelScore, ClassScore, Score
from neocog.optim.uncompiled import compiler_left_out, moved
from neocog.pictures.preprocess import Preprocess
from neocog.zoo.modes import evaluating

STEPS, RATE = 128, 0.05
MOST_CLASSES, MOST_CHANNELS = 10, 16
SCALES = (0.9, 0.95, 1.0, 1.05, 1.1)
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""The root of the covariance of red, green and blue over ImageNet, as Olah et al. have it."""


def maximise(question: Question) -> Answer:
    """A picture for each class asked for (without one: the first ten), or for the channels of a layer."""
    wanted = _wanted(question)
    panels, arrays, facts, lines = [], {}, [], []
    for name, score in wanted.items():
        climbed = likely(score.of, question.probabilities) if _alone(score) else score
        pixels = strongest_picture(
            question.network,
            climbed,
            shape=question.shape,
            preprocess=question.preprocess,
            seed=question.seed,
        )
        x = question.preprocess.normalise(torch.from_numpy(pixels)[None].to(question.blank().device))
        with torch.no_grad(), evaluating(question.network):
            reached = float(score(question.network, x)[0])
            empty = float(
                score(question.network, question.preprocess.normalise(torch.full_like(x, 127.5)))[0]
            )
        arrays[name] = pixels
        panels.append(Panel(f"{name} {reached:.3g}", pixels))
        lines.append(f"{name}: {reached:.4g}, of plain grey {empty:.4g}")
        facts.append({"of": name, "reached": reached, "grey": empty})
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
) -> Any:
    """uint8 (C, H, W) of `shape`, found by climbing `score` for so many steps from noise drawn by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    waves = (0.01 * torch.randn(2, channels, height, width // 2 + 1, generator=generator)).to(device)
    with capture_gradients(network, []):
        waves.requires_grad_()
        with compiler_left_out():
            climber = torch.optim.Adam([waves], lr=RATE)
        for _ in range(steps):
            picture = _picture(waves, (height, width), preprocess.background)
            x = preprocess.normalise(255 * _moved(picture[None], generator))
            waves.grad = None
            (-score(network, x).sum()).backward()  # type: ignore[no-untyped-call]
            moved(climber)
        found = _picture(waves, (height, width), preprocess.background).detach()
    return np.asarray((255 * found).round().cpu(), dtype=np.uint8)


def likely(of: int, probabilities: Callable[[Tensor], Tensor]) -> Score:
    """The logarithm of the probability of class `of`, and a tenth of its logit."""

    def score(network: nn.Module, x: Tensor) -> Tensor:
        logits: Tensor = network(x)
        return probabilities(logits)[:, of].clamp(min=1e-12).log() + 0.1 * logits[:, of]

    return score


def _picture(waves: Tensor, size: tuple[int, int], background: float | None) -> Tensor:
    """Waves (2, C, H, W // 2 + 1) -> a picture (C, H, W) of 0..1; without waves it is all `background`."""
    height, width = size
    rows = torch.fft.fftfreq(height, device=waves.device)[:, None]
    columns = torch.fft.rfftfreq(width, device=waves.device)[None]
    pitch = (rows.square() + columns.square()).sqrt().clamp(min=1 / max(size))
    spectrum = torch.complex(waves[0], waves[1]) * math.sqrt(height * width) / pitch
    plain = torch.fft.irfft2(spectrum, s=size) / 4
    if len(plain) == 3:
        root = torch.tensor(_COLOURS, device=waves.device)
        plain = torch.einsum("oc,chw->ohw", root / root.norm(dim=0).max(), plain)
    bright = 0.5 if background is None else min(max(background, 0.02), 0.98)
    return torch.sigmoid(plain + math.log(bright / (1 - bright)))


def _moved(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (1, C, H, W), scaled and moved by a few pixels, of the same size."""
    size = pictures.shape[2:]
    scale = SCALES[int(torch.randint(len(SCALES), (), generator=generator))]
    sides = [max(1, round(scale * side)) for side in size]
    scaled = F.interpolate(pictures, sides, mode="bilinear", align_corners=False)
    most = [max(1, side // 16) for side in size]
    missing = [max(0, side - made) for side, made in zip(size, sides)]
    pads = [n for m, extra in zip(reversed(most), reversed(missing)) for n in (m, m + extra)]
    padded = F.pad(scaled, pads, value=0.5)
    starts = [int(torch.randint(n - s + 1, (), generator=generator)) for n, s in zip(padded.shape[2:], size)]
    return padded[:, :, starts[0] : starts[0] + size[0], starts[1] : starts[1] + size[1]]


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
