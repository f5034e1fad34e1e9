"""Feature maps as pictures, layer after layer (experiments M13 and G4).

Every picture is a row: the picture itself, its strongest three channels as red, green and blue, then the
maps; below the maps of a convolution its kernels. A channel that is zero everywhere for all pictures is
marked as silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from neocog.errors import UsageError
from neocog.inside.capture import capture
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Question
from neocog.inside.stages import Stage, stages
from neocog.show import false_colours, grids
from neocog.zoo.modes import evaluating

MOST, MOST_OF_ONE = 16, 64
"""Maps that are shown of each layer, and where one layer alone is asked for."""
WIDEST = 64
"""Pixels a side of what is shown; larger pictures and maps are thinned out, smaller ones enlarged."""
WIDE = 20
"""Columns of a sheet, up to which a picture and its maps are one row."""
KINDS = ("conv", "transposed conv", "activation", "prelu", "maxpool", "avgpool", "lppool")

Numbers = npt.NDArray[Any]


def maps(question: Question) -> Answer:
    """A sheet for each convolution, ReLU and pooling, or for the layer asked for."""
    question = question.with_one_of_each_class()
    chosen = _chosen(question)
    x = torch.cat([question.x(number) for number in range(len(question.pictures))])
    with torch.no_grad(), evaluating(question.network), capture(question.network, chosen) as found:
        question.network(x)
    arrays = {name: np.asarray(found[name].float().cpu()) for name in chosen}
    sheets, lines, facts = [], [], []
    for name, values in arrays.items():
        silent = [n for n in range(values.shape[1]) if not values[:, n].any()]
        sheets.append(_sheet(question, name, values, silent))
        size = "x".join(map(str, values.shape[1:]))
        lines.append(f"{name}: {size}" + (f"; silent: {_listed(silent)}" if silent else ""))
        facts.append({"layer": name, "shape": list(values.shape[1:]), "silent": silent})
    return Answer(sheets=tuple(sheets), lines=tuple(lines), arrays=arrays, facts={"layers": facts})


def _chosen(question: Question) -> list[str]:
    """The layers to show: all that make maps, or where those are too many for one picture, the stages of the
    network.
    """
    if question.layer is not None:
        return [question.layer]
    ran = [stage for stage in stages(question.network, question.blank()) if len(stage.shape) == 3]
    fine = list(dict.fromkeys(stage.name for stage in ran if stage.kind in KINDS and not stage.passed_on))
    if len(fine) <= grids.MOST_STACKED:
        found = fine
    else:
        found = list(dict.fromkeys(stage.name for stage in ran if _is_stage(stage)))[: grids.MOST_STACKED]
    if not found:
        raise UsageError("no layer of this network puts out maps; see --how weights")
    return found


def _is_stage(stage: Stage) -> bool:
    return stage.name.count(".") == 1 and stage.has_maps


def _sheet(question: Question, name: str, values: Numbers, silent: list[int]) -> Sheet:
    if values.ndim != 4:
        raise UsageError(f"{name} puts out {values.shape[1:]} for a picture and no maps; see neocog features")
    most = question.first or (MOST if question.layer is None else MOST_OF_ONE)
    channels = range(min(values.shape[1], most)) if question.channel is None else [question.channel]
    if channels[-1] >= values.shape[1]:
        raise UsageError(f"{name} has channels 0 to {values.shape[1] - 1}; there is no {channels[-1]}")
    three = _three(values)
    panels: list[Panel] = []
    module = question.network.get_submodule(name)
    kernels = _kernels(module)
    across = len(channels) + (2 if three else 1)
    for picture, planes in zip(question.pictures, values, strict=True):
        low, high = float(planes.min()), float(planes.max())
        side = _side(picture.pixels)
        panels.append(Panel(picture.name, _brought(picture.pixels, side)))
        if three:
            coloured = _brought(false_colours.grey(planes[three]), side)
            panels.append(Panel(" ".join(map(str, three)), coloured))
        for n in channels:
            title, colour = (f"{n} silent", "red") if n in silent else (str(n), "black")
            grey = false_colours.grey(planes[n], low=low, high=high)
            panels.append(Panel(title, _brought(grey, side), colour))
    if kernels is not None and across <= WIDE:
        panels += _kernel_row(kernels, channels, across, _side(question.pictures[0].pixels))
    several = "" if len(channels) == values.shape[1] else f", {len(channels)} of {values.shape[1]} channels"
    below = module if kernels is not None and across <= WIDE else None
    caption = f"{name}{several}: {_caption(bool(three), below)}"
    begins = isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    return Sheet(tuple(panels), caption, across if across <= WIDE else 9, begins)


def _kernels(module: nn.Module) -> Numbers | None:
    """The kernels of a convolution over pictures, (channels, 1 or 3, h, w): over red, green and blue as they
    are, else of the first input channel. None of other layers, and where a kernel is a single grey number.
    """
    if not isinstance(module, nn.Conv2d):
        return None
    weights = np.asarray(module.weight.detach().cpu(), dtype=np.float64)
    shown = weights if weights.shape[1] == 3 else weights[:, :1]
    return None if shown[0].size == 1 else shown


def _kernel_row(kernels: Numbers, channels: Sequence[int], across: int, side: int) -> list[Panel]:
    """A row of kernels, each below its channel's maps, black for the least weight of all and white for the
    greatest."""
    gap = np.full((1, side, side), 255, dtype=np.uint8)
    grey = false_colours.grey(kernels)
    row = [Panel(f"kernel {n}", _brought(grey[n], side)) for n in channels]
    return [*[Panel("", gap)] * (across - len(row)), *row]


def _caption(coloured: bool, below: nn.Module | None) -> str:
    said = "each picture from its least value, black, to its greatest, white"
    if coloured:
        said += "; second: three channels as red, green, blue"
    if isinstance(below, nn.Conv2d):
        of = "" if below.weight.shape[1] in (1, 3) else " of input channel 0"
        said += f"; last row: the kernels{of}, from the least weight, black, to the greatest"
    return said


def _three(values: Numbers) -> list[int]:
    """The three channels that vary most over all pictures and places, in their order; none of fewer."""
    if values.shape[1] < 3:
        return []
    return sorted(int(n) for n in np.argsort(-values.std((0, 2, 3)))[:3])


def _side(pixels: Numbers) -> int:
    """Pixels a side at which a picture and its maps are shown: its own, or a part of that."""
    side = int(min(pixels.shape[1:]))
    return side // -(-side // WIDEST)


def _brought(values: Numbers, side: int) -> Numbers:
    """(..., h, w) at about `side` pixels: every pixel several times, or every n-th pixel."""
    least = min(values.shape[-2:])
    if least > side:
        step = least // side
        return values[..., ::step, ::step]
    times = max(1, side // least)
    return values.repeat(times, axis=-2).repeat(times, axis=-1)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:20])) + (f" and {len(numbers) - 20} more" if len(numbers) > 20 else "")
