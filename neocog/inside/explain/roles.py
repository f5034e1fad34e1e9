"""Roles: what each filter of a layer is for (experiment F7).

Which classes make it respond, a plain name where its kernel has one, the patches of the data set that it
answers to most, and what of them reaches it: the deconvolution view of Zeiler and Fergus 2014, section 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neocog.data.batches import EVALUATION_BATCH
from neocog.data.dataset import Split
from neocog.data.targets import form_of
from neocog.errors import UsageError
from neocog.inside.capture import capture
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.deconvnet import deconvnet
from neocog.inside.explain.question import Question
from neocog.inside.explain.score import ChannelScore
from neocog.inside.sight import Sight, sight
from neocog.inside.stages import first_convolution
from neocog.inside.templates import NO_NAME, Match, best
from neocog.show import false_colours
from neocog.show.words import percent, table
from neocog.zoo.modes import evaluating

MOST_PICTURES = 1000
"""Pictures of the data set that are looked at, evenly over it."""
MOST_CHANNELS, PATCHES = 16, 3
HALF = 0.5
"""A class makes a channel respond where its mean is at least this share of the largest class's."""

Numbers = npt.NDArray[Any]


def roles(question: Question) -> Answer:
    """The 0/1 table of channels and classes, the kernels' names, the strongest patches and their
    deconvolution.
    """
    chosen = question.layer_or(lambda network, x: first_convolution(network))
    split = _some(question.split())
    largest, places = _responses(question, chosen.name, split)
    means = _by_class(largest, split, len(question.classes))
    table_ = responds(means)
    names = _names(question, chosen.name, len(means))
    lines = [
        f"layer {chosen.name}: {chosen.reason}; {len(split):,} pictures",
        f"1: the class's mean is at least {percent(HALF, digits=0)} of the largest class's; of each picture "
        "counts the strongest response, nothing below zero",
        *_table(question, table_, names),
    ]
    shown = range(min(len(means), question.first or MOST_CHANNELS))
    some = shown if question.channel is None else [question.channel]
    sheet = _patches(question, chosen.name, split, largest, places, names, some)
    facts = {
        "layer": chosen.name,
        "channels": [
            {"channel": n, "name": names[n].name, "cosine": names[n].cosine, "responds": row.tolist()}
            for n, row in enumerate(table_.astype(int))
        ],
    }
    arrays = {"means": means, "responds": table_.astype(np.uint8)}
    return Answer(sheets=(sheet,), lines=tuple(lines), arrays=arrays, facts=facts)


def responds(means: Numbers) -> npt.NDArray[np.bool_]:
    """Mean responses (channels, classes), never negative -> which classes each channel responds to; none
    where it never does.
    """
    most = means.max(1, keepdims=True)
    return np.asarray((means >= HALF * most) & (most > 0))


def _some(split: Split) -> Split:
    n = min(len(split), MOST_PICTURES)
    return split.subset(torch.tensor([i * len(split) // n for i in range(n)]))


@torch.no_grad()
def _responses(question: Question, layer: str, split: Split) -> tuple[Numbers, Numbers]:
    """(pictures, channels): the largest response, nothing below zero; and its place, as one number."""
    largest, places = [], []
    device = question.blank().device
    with evaluating(question.network), capture(question.network, [layer]) as found:
        for x in torch.split(split.x, EVALUATION_BATCH):
            question.network(question.preprocess.normalise(x.to(device)))
            maps = found[layer].float()
            if maps.ndim != 4:
                raise UsageError(f"{layer} puts out no maps; give a --layer with places")
            top = maps.flatten(2).max(2)
            largest.append(top.values.clamp(min=0).cpu())
            places.append(top.indices.cpu())
    return torch.cat(largest).numpy(), torch.cat(places).numpy()


def _by_class(largest: Numbers, split: Split, classes: int) -> Numbers:
    """(channels, classes): the mean over the pictures of each class."""
    labels = np.array([-1 if label is None else label for label in form_of(split.y).only(split.y)])
    return np.stack(
        [
            largest[labels == c].mean(0) if (labels == c).any() else np.zeros(largest.shape[1])
            for c in range(classes)
        ],
        axis=1,
    )


def _names(question: Question, layer: str, channels: int) -> list[Match]:
    """A name for every channel. Only the kernels that look at the picture have one: all colours together."""
    weights = getattr(question.network.get_submodule(layer), "weight", None)
    first = first_convolution(question.network).name
    if layer != first or weights is None or weights.ndim != 4:
        return [Match(NO_NAME, 0.0)] * channels
    kernels = np.asarray(weights.detach().cpu(), dtype=np.float64).sum(1)
    return [best(kernel) for kernel in kernels]


def _table(question: Question, rows: npt.NDArray[np.bool_], names: list[Match]) -> list[str]:
    found = [("channel", *question.classes, "name")]
    for number, (row, match) in enumerate(zip(rows, names, strict=True)):
        name = match.name if row.any() else f"{match.name}; never responds"
        found.append((str(number), *("1" if one else "0" for one in row), name))
    return table(found)


def _patches(
    question: Question,
    layer: str,
    split: Split,
    largest: Numbers,
    places: Numbers,
    names: list[Match],
    channels: Any,
) -> Sheet:
    """A row for each channel: its strongest patches, one a picture, each with its deconvolution."""
    seen = sight(question.network, layer, question.shape)
    width = _width(question, layer)
    panels: list[Panel] = []
    for channel in channels:
        if not largest[:, channel].any():
            nothing = np.full((len(split.x[0]), 1, 1), 255, dtype=np.uint8)
            panels += [Panel(f"{channel} never responds", nothing, "red")]
            panels += [Panel("", nothing)] * (2 * PATCHES - 1)
            continue
        best_first = np.argsort(-largest[:, channel], kind="stable")[:PATCHES]
        for rank, n in enumerate(best_first):
            place = divmod(int(places[n, channel]), width)
            x = question.preprocess.normalise(split.x[n : n + 1].to(question.blank().device))
            back = deconvnet(question.network, x, score=ChannelScore(layer, channel, place))[0].cpu().numpy()
            title = f"{channel} {names[channel].name}" if rank == 0 else f"{channel}"
            panels.append(Panel(title, _framed(_cut(split.x[n].numpy(), seen, place, pad=0))))
            reached = false_colours.around_grey(_cut(back, seen, place, pad=0.0))
            panels.append(Panel("", _framed(reached)))
    return Sheet(
        tuple(panels),
        f"{layer}: the {PATCHES} strongest patches of each channel, as it sees them, and what reaches it",
        2 * PATCHES * (2 if len(panels) > 2 * PATCHES * 4 else 1),
    )


@torch.no_grad()
def _width(question: Question, layer: str) -> int:
    with evaluating(question.network), capture(question.network, [layer]) as found:
        question.network(question.blank())
    return int(found[layer].shape[-1])


def _cut(picture: Numbers, seen: Sight | None, place: tuple[int, int], *, pad: float) -> Numbers:
    """What a place sees of (C, h, w); all of it where it sees all. Outside the picture is `pad`."""
    if seen is None:
        return picture
    (top, bottom), (left, right) = seen.box(place)
    cut = np.full((len(picture), bottom - top, right - left), pad, dtype=picture.dtype)
    inside = picture[:, max(top, 0) : bottom, max(left, 0) : right]
    y, x = max(-top, 0), max(-left, 0)
    cut[:, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
    return cut


def _framed(patch: Numbers) -> Numbers:
    """A patch with a line of grey around it: white ones would be lost on the page."""
    return np.pad(patch, ((0, 0), (1, 1), (1, 1)), constant_values=160)
