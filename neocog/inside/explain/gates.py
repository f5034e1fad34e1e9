"""Gates: how far each gate of a highway network is open, picture by picture.

Srivastava, Greff and Schmidhuber, "Training Very Deep Networks", 2015, https://arxiv.org/abs/1507.06228,
figure 3: an open gate transforms, a closed one hands on what came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neocog.errors import UsageError
from neocog.inside.capture import capture
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Question
from neocog.show import false_colours
from neocog.show.words import percent
from neocog.zoo.blocks import Gate
from neocog.zoo.modes import evaluating


def gates(question: Question) -> Answer:
    """The mean openness, 0..1, of every gate for every picture, and over its channels place by place."""
    question = question.with_one_of_each_class()
    found = [name for name, module in question.network.named_modules() if isinstance(module, Gate)]
    if not found:
        raise UsageError("this network has no gates; highway has, see neocog summary highway")
    names = [f"{name}.openness" for name in found]
    x = torch.cat([question.x(number) for number in range(len(question.pictures))])
    with torch.no_grad(), evaluating(question.network), capture(question.network, names) as seen:
        question.network(x)
    arrays = {gate: np.asarray(seen[f"{gate}.openness"].cpu()) for gate in found}
    means = np.stack([values.reshape(len(values), -1).mean(1) for values in arrays.values()], axis=1)
    places = {gate: values.mean(1) for gate, values in arrays.items()}
    low, high = (float(end([end(values) for values in places.values()])) for end in (np.min, np.max))
    panels: list[Panel] = []
    for number, picture in enumerate(question.pictures):
        panels.append(Panel(picture.name, picture.pixels))
        for gate, values in places.items():
            ends = (low, high) if question.levels == "layer" else (values.min(), values.max())
            shown = false_colours.grey(values[number], low=ends[0], high=ends[1])
            title = f"{gate.split('.')[-1]} {percent(values[number].mean(), digits=0)}"
            panels.append(Panel(title, _as_large(shown, picture.pixels.shape[1:])))
    caption = (
        f"means over channels: black is {percent(low, digits=0)} open, white {percent(high, digits=0)}"
        if question.levels == "layer"
        else "means over channels, from the least open place of each gate, black, to its most open, white"
    )
    lines = [
        f"{gate}: open {' '.join(percent(share, digits=0) for share in means[:, n])}"
        for n, gate in enumerate(found)
    ]
    lines.insert(0, f"pictures: {', '.join(picture.name for picture in question.pictures)}")
    facts = {"gates": [{"gate": g, "open": means[:, n].tolist()} for n, g in enumerate(found)]}
    sheet = Sheet(tuple(panels), f"{caption}; closed hands on, open transforms", len(found) + 1)
    return Answer(sheets=(sheet,), lines=tuple(lines), arrays=arrays, facts=facts)


def _as_large(shown: Any, sizes: tuple[int, ...]) -> Any:
    """A picture (h, w) of which every pixel is repeated, as long as it stays within `sizes`."""
    for axis, size in enumerate(sizes):
        shown = shown.repeat(max(1, size // shown.shape[axis]), axis)
    return shown
