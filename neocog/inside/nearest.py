"""Nearest: the training pictures that a network takes for most like a given one, by the features on which its
answer rests (Krizhevsky et al. 2012, section 6.1, looks at a network so).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neocog.data.batches import plain_batches
from neocog.data.dataset import Split
from neocog.data.targets import named
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Question
from neocog.show.words import percent
from neocog.zoo.head import answering
from neocog.zoo.modes import evaluating

BATCH = 32
USUAL = 5
"""Pictures that are shown, where nobody says how many."""
AMONG = 20_000
"""Training pictures that are looked at, at most, evenly spread."""
ALIKE, OTHER = "blue", "red"
"""Colours: of the class that the network gave, of another."""


def nearest(question: Question) -> Answer:
    """For each picture the training pictures whose features point most nearly in the direction of its own:
    what goes into the last layer with weights, less its mean over the training pictures, by the cosine.
    """
    split = question.split("train")
    split = split.subset(torch.arange(0, len(split), -(-len(split) // AMONG)))
    theirs = features(question, split)
    middle = theirs.mean(0)
    theirs = nn.functional.normalize(theirs - middle, dim=1)
    own = torch.cat([_of(question, question.x(n)) for n in range(len(question.pictures))])
    likeness = nn.functional.normalize(own - middle, dim=1) @ theirs.T
    values, rows = likeness.topk(min(question.first or USUAL, len(split)), dim=1)
    sheets, lines, facts = [], [], []
    for picture, cosines, found in zip(question.pictures, values.tolist(), rows.tolist(), strict=True):
        shown = question.named(picture.of)
        panels = [Panel(f"{picture.name}: {shown} {percent(picture.probability, digits=0)}", picture.pixels)]
        kinds, listed = named(split.y[found], question.classes), []
        for row, cosine, kind in zip(found, cosines, kinds, strict=True):
            file = split.names[row] if split.names else f"train[{row}]"
            listed.append({"file": file, "class": kind, "cosine": round(cosine, 6)})
            colour = ALIKE if kind == shown else OTHER
            panels.append(Panel(f"{kind} {cosine:.2f}", split.x[row].numpy(), colour))
        agree = kinds.count(shown)
        sheets.append(Sheet(tuple(panels), columns=len(panels)))
        lines.append(f"{picture.name}, taken for {shown}: {agree} of the {len(found)} nearest are {shown}")
        lines += [f"  {one['cosine']:.3f} {one['class']} ({one['file']})" for one in listed]
        facts.append({"picture": picture.name, "class": shown, "nearest": listed})
    arrays: dict[str, Any] = {"cosines": np.asarray(values), "rows": np.asarray(rows)}
    return Answer(
        sheets=tuple(sheets), lines=tuple(lines), arrays=arrays, facts={"n": len(split), "pictures": facts}
    )


def features(question: Question, split: Split) -> Tensor:
    """What goes into the last layer with weights, (N, width), float32, on the CPU, for every picture."""
    device = question.blank().device
    batches = plain_batches(split, question.preprocess, batch=BATCH, device=device)
    return torch.cat([_of(question, x) for x, _ in batches])


@torch.inference_mode()
def _of(question: Question, x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    with evaluating(question.network), answering(question.network, seen.append):
        question.network(x)
    return seen[-1].float().cpu()
