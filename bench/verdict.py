"""Does the verdict on class maps hold? Planted tasks: a coloured square in a corner decides the class.

Networks of several seeds and sizes are trained on noise with a red or a blue square of 6x6 in one of four
corners. Of every class map the share of its weight on the square is known. Even seeds are for choosing
thresholds, odd ones for the figures that count.

    python bench/verdict.py [--seeds 8] [--pictures 12]
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.inside.explain.class_map import ClassMap
from neocog.inside.explain.score import ClassScore
from neocog.inside.explain.table import METHODS
from neocog.inside.explain.verdict import judge
from neocog.inside.stages import last_maps

SIDE, SQUARE = 24, 6
COLOURS = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
CLASSES = len(COLOURS) + 1
"""A square of each colour, or none."""


def pictures(n: int, generator: torch.Generator, *, classes: int = CLASSES) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (n, 3, 24, 24), classes (n,) below `classes`, and where the square is, (n, 24, 24)."""
    x = torch.rand(n, 3, SIDE, SIDE, generator=generator) * 0.6
    y = torch.randint(classes, (n,), generator=generator)
    where = torch.zeros(n, SIDE, SIDE, dtype=torch.bool)
    for i in range(n):
        top, left = (int(torch.randint(2, (), generator=generator)) * (SIDE - SQUARE) for _ in range(2))
        if y[i] < len(COLOURS):
            where[i, top : top + SQUARE, left : left + SQUARE] = True
            x[i][:, where[i]] = torch.tensor(COLOURS[int(y[i])])[:, None]
    return x, y, where


def trained(seed: int) -> nn.Module:
    """A small network of ReLUs, and whether it pools, by its seed."""
    torch.manual_seed(seed)
    pool = nn.MaxPool2d(2) if seed % 4 < 2 else nn.Identity()
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, CLASSES),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    climber = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(120):
        x, y, _ = pictures(32, generator)
        climber.zero_grad()
        F.cross_entropy(network(x), y).backward()
        climber.step()
    return network.eval()


def judged(seed: int, pictures_each: int) -> list[dict[str, Any]]:
    """For every class map of pictures with a square: the share of its weight there, and the verdict."""
    network = trained(seed)
    x, y, where = pictures(pictures_each, torch.Generator().manual_seed(1000 + seed), classes=len(COLOURS))
    layer = last_maps(network, x[:1]).name
    rows = []
    for name, method in METHODS.items():
        how = method.explain
        for one, of, square in zip(x, y, where) if isinstance(how, ClassMap) else ():
            weigh = partial(_weight, how=how, x=one[None], of=int(of), layer=layer)
            found = judge(network, one[None], weigh, partial(_probability, of=int(of)))
            weight = weigh(network)
            share = float(weight[square].sum() / weight.sum()) if weight.any() else 0.0
            rows.append({"seed": seed, "how": name, "share": share, **found.json()})
    return rows


def _weight(network: nn.Module, *, how: ClassMap, x: Tensor, of: int, layer: str) -> Tensor:
    return how.weight(how.values(network, x, score=ClassScore(of), layer=layer), (SIDE, SIDE))[0]


def _probability(network: nn.Module, x: Tensor, *, of: int) -> Tensor:
    return network(x).softmax(1)[:, of]


def main() -> None:
    """Print, for each half, every method's words and shares, then all rows as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=12)
    given = parser.parse_args()
    rows = [row for seed in range(given.seeds) for row in judged(seed, given.pictures)]
    for half, said in ((0, "thresholds"), (1, "figures")):
        mine = [row for row in rows if row["seed"] % 2 == half]
        print(f"{said}: {len(mine)} maps")
        for name in dict.fromkeys(row["how"] for row in mine):
            some = [row for row in mine if row["how"] == name]
            used = [row["share"] for row in some if row["word"] == "use"]
            mean = sum(row["share"] for row in some) / len(some)
            least = f", at least {min(used):.2f}" if used else ""
            print(f"  {name:11} on the square {mean:.2f}; use {len(used)} of {len(some)}{least}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
