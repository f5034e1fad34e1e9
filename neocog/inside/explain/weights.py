"""Weights as text, numbers and histograms, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neocog.errors import UsageError
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Question
from neocog.show import grids
from neocog.show.words import percent, table

BINS, HEIGHT = 96, 64
Numbers = npt.NDArray[Any]


def weights(question: Question) -> Answer:
    """Every tensor of the network, or of the layer asked for: its figures in a line, its histogram as a
    picture, its numbers in `arrays` and, in full, in what is written as text.
    """
    found = {
        name: np.asarray(tensor.detach().cpu())
        for name, tensor in question.network.state_dict().items()
        if question.layer is None or name.startswith(f"{question.layer}.")
    }
    if not found:
        raise UsageError(f"{question.layer} has no weights; neocog summary says which layers have")
    rows: list[tuple[str, ...]] = [("tensor", "shape", "mean", "std", "least", "greatest", "below std/100")]
    rows += [_figures(name, values) for name, values in found.items()]
    drawn = [item for item in found.items() if item[1].size > 1][: grids.MOST_PICTURES]
    panels = tuple(
        Panel(f"{name} {values.min():.2g} to {values.max():.2g}", histogram(values)) for name, values in drawn
    )
    facts = {
        "tensors": [
            {"name": name, "shape": list(v.shape), "mean": float(v.mean()), "std": float(v.std()),
             "min": float(v.min()), "max": float(v.max())}
            for name, v in found.items()
        ]
    }  # fmt: skip
    caption = "how often each value occurs, from the least to the greatest of the tensor; red: zero"
    return Answer(
        sheets=(Sheet(panels, caption),) if panels else (),
        lines=tuple(table(rows)),
        arrays=found,
        facts=facts,
        document=lambda: "\n".join(written(name, values) for name, values in found.items()),
    )


def written(name: str, values: Numbers) -> str:
    """A tensor as text: its name and shape, then its last axis a line each, with digits enough to read the
    very same float32 numbers back.
    """
    head = f"{name} {'x'.join(map(str, values.shape)) or 'one number'}"
    lines = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
    return "\n".join([head, *(" ".join(f"{float(v):.9g}" for v in row) for row in lines), ""])


def histogram(values: Numbers) -> npt.NDArray[np.uint8]:
    """Columns of black on white, (64, 96); a red line at zero, where zero is within the range."""
    counts, edges = np.histogram(np.asarray(values, dtype=np.float64).ravel(), bins=BINS)
    heights = np.ceil(counts / max(counts.max(), 1) * HEIGHT).astype(int)
    picture = np.full((HEIGHT, BINS, 3), 255, dtype=np.uint8)
    if edges[0] < 0 < edges[-1]:
        picture[:, min(BINS - 1, int(np.searchsorted(edges, 0.0)) - 1)] = (220, 60, 60)
    for column, height in enumerate(heights):
        picture[HEIGHT - height :, column] = 40
    return picture


def _figures(name: str, values: Numbers) -> tuple[str, ...]:
    numbers = np.asarray(values, dtype=np.float64)
    std = float(numbers.std())
    small = float((np.abs(numbers) < std / 100).mean())
    figures = (numbers.mean(), std, numbers.min(), numbers.max())
    return (
        name,
        "x".join(map(str, values.shape)) or "1",
        *(f"{v:.4g}" for v in figures),
        percent(small, digits=1),
    )
