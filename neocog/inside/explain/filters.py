"""Learned filters as pictures: the kernels of a layer, and what they make of a photo (E5, F6)."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from neocog.errors import UsageError
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Picture, Question
from neocog.inside.stages import first_convolution
from neocog.pictures.decode import decode
from neocog.show import false_colours
from neocog.zoo.modes import evaluating

MOST = 64
"""Filters that are shown where nothing else is asked for."""
WIDEST = 512
"""Pixels a side of a photo to which filters are applied; a larger one is reduced."""

Numbers = npt.NDArray[Any]


def filters(question: Question) -> Answer:
    """The filters of a convolution: those over three channels of the picture in colour, others by the input
    channel asked for (the first without), grey, black for small. Of photos, what the first layer's filters
    make of each.
    """
    name = question.layer_or(lambda network, x: first_convolution(network)).name
    module = question.network.get_submodule(name)
    weights = getattr(module, "weight", None)
    if weights is None or weights.ndim < 3:
        raise UsageError(f"{name} is no convolution, so it has no filters; see --how weights")
    kernels = np.asarray(weights.detach().cpu(), dtype=np.float64)
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        kernels = kernels.swapaxes(0, 1)
    first = name == first_convolution(question.network).name
    coloured = first and kernels.shape[1] == 3 and question.channel is None and kernels.ndim == 4
    shown, said = _planes(kernels, question, coloured)
    ends = (float(kernels.min()), float(kernels.max())) if question.levels == "layer" else None
    sheet = _grid(shown, name, said, ends)
    sheets = [sheet, *(_applied(question, module, picture) for picture in question.pictures if first)]
    line = (
        f"{name}: {len(kernels)} filters of {'x'.join(map(str, kernels.shape[2:]))} over {kernels.shape[1]}"
    )
    facts = {"layer": name, "filters": list(kernels.shape), "shown": len(shown), "levels": question.levels}
    return Answer(
        sheets=tuple(sheets), lines=(f"{line}; {sheet.caption}",), arrays={"weights": kernels}, facts=facts
    )


def _planes(kernels: Numbers, question: Question, coloured: bool) -> tuple[Numbers, str]:
    """What is drawn, (n, 3, h, w) or (n, h, w), and what it is."""
    some = kernels[: question.first or MOST]
    if coloured:
        return some, "in colour"
    channel = question.channel or 0
    if not 0 <= channel < kernels.shape[1]:
        raise UsageError(f"the filters look at channels 0 to {kernels.shape[1] - 1}; there is no {channel}")
    planes = some[:, channel]
    flat = planes[:, None] if planes.ndim == 2 else planes.reshape(len(planes), -1, planes.shape[-1])
    return flat, f"input channel {channel}" if kernels.shape[1] > 1 else "grey"


def _grid(shown: Numbers, name: str, said: str, ends: tuple[float, float] | None) -> Sheet:
    """The kernels between the layer's least and greatest weight, `ends`, or each between its own."""
    low, high = ends or (None, None)
    panels = [Panel(str(n), false_colours.grey(kernel, low=low, high=high)) for n, kernel in enumerate(shown)]
    scale = (
        f"black is {ends[0]:.3g}, white {ends[1]:.3g}, for the whole layer"
        if ends
        else "each filter by itself from its least weight, black, to its greatest, white"
    )
    return Sheet(tuple(panels), f"{name}, {said}: {scale}")


@torch.no_grad()
def _applied(question: Question, module: nn.Module, picture: Picture) -> Sheet:
    """What every filter makes of the photo, at its own size."""
    pixels = picture.pixels
    if picture.path is not None:
        photo = Image.fromarray(decode(picture.path))
        photo.thumbnail((WIDEST, WIDEST))
        pixels = question.preprocess.model_copy(update={"size": None}).place(np.asarray(photo))
    device = next(module.parameters()).device
    x = question.preprocess.normalise(torch.from_numpy(pixels)[None].to(device))
    with contextlib.ExitStack() as undone:
        undone.enter_context(evaluating(module))
        maps = np.asarray(module(x)[0].cpu(), dtype=np.float64)
    panels = [Panel(str(n), false_colours.grey(one)) for n, one in enumerate(maps[: question.first or MOST])]
    size = "x".join(map(str, maps.shape[1:]))
    return Sheet(
        (Panel(picture.name, pixels), *panels),
        f"{picture.name} through each filter, {size}, each from its least value, black, to its greatest",
    )
