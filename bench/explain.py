"""How long explaining takes: class maps of a photo with a network of ResNet-18's size, and LeNet's map page.

    python bench/explain.py [--rounds 5] [--out results/explain.json]

Weights are random, as speed does not ask for others. Of every kind the median of the rounds counts, in
seconds of wall time and of processor time, against a limit on two cores. The map page is that of `explain
--how maps` for ten pictures, drawn as one PNG. Exit 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from turns import machine, write

from neocog.inside.explain.gradcam import gradcam
from neocog.inside.explain.occlusion import occlusion
from neocog.inside.explain.question import Picture, Question
from neocog.inside.explain.saliency import saliency
from neocog.inside.explain.score import ClassScore, ProbabilityScore
from neocog.inside.explain.table import METHODS
from neocog.inside.stages import last_maps
from neocog.pictures.preprocess import Preprocess
from neocog.zoo import ZOO, Model, build

SIDE = 224
LIMITS = {"gradcam": 2.0, "saliency": 1.0, "occlusion": 20.0, "lenet maps": 1.0}
"""Seconds."""


def kinds() -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    torch.manual_seed(0)
    network = build(Model(name="resnet18"), shape=(3, SIDE, SIDE), classes=1000).eval()
    x = torch.rand(1, 3, SIDE, SIDE)
    score, likely = ClassScore(7), ProbabilityScore(7, lambda logits: logits.softmax(1))
    page = maps_page()
    return {
        "gradcam": lambda: gradcam(network, x, score=score, layer=last_maps(network, x).name),
        "saliency": lambda: saliency(network, x, score=score),
        "occlusion": lambda: occlusion(network, x, score=likely),
        "lenet maps": lambda: METHODS["maps"].explain(page).png(),
    }


def maps_page() -> Question:
    """LeNet asked for the maps of ten pictures."""
    shape = ZOO["lenet"].shape
    draws = np.random.default_rng(0)
    pictures = tuple(
        Picture(str(n), draws.integers(0, 256, shape, dtype=np.uint8), n, 0.1) for n in range(10)
    )
    return Question(
        network=build(Model(name="lenet"), shape=shape, classes=10).eval(),
        preprocess=Preprocess(size=shape[1:], channels=1, scale="unit", mean=(0.0,), std=(1.0,)),
        classes=tuple("0123456789"),
        shape=shape,
        pictures=pictures,
    )


def seconds(kind: Callable[[], Any]) -> tuple[float, float]:
    """Wall time and processor time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    kind()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Time every kind in turn, round by round; print the medians and write them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    before, named = machine(), kinds()
    for name in ("gradcam", "lenet maps"):  # fonts, and torch's own first calls
        named[name]()
    rounds = [{name: seconds(kind) for name, kind in named.items()} for _ in range(given.rounds)]
    rows = [
        {
            "kind": name,
            "wall": statistics.median(one[name][0] for one in rounds),
            "processor": statistics.median(one[name][1] for one in rounds),
            "limit": limit,
            "rounds": [one[name] for one in rounds],
        }
        for name, limit in LIMITS.items()
    ]
    for row in rows:
        times = f"{row['wall']:6.2f} s, {row['processor']:6.2f} s of a processor"
        print(f"{row['kind']:11} {times}; limit {row['limit']:g} s")
    print(json.dumps({"machine": before, "rows": rows}))
    write(given.out, rows, before)
    raise SystemExit(0 if all(row["wall"] <= row["limit"] for row in rows) else 1)


if __name__ == "__main__":
    main()
