"""Does the verdict on class maps hold? Planted tasks: a coloured square in a corner decides the class.

Networks of several seeds and sizes are trained on noise with a red or a blue square of 6x6 in one of four
corners. Of every class map the share of its weight on the square is known. The thresholds of the verdict were
chosen on the seeds 0, 2, 4 and 6; figures that count come from seeds that nobody looked at while choosing.

    python bench/verdict.py [--first 100] [--seeds 16] [--pictures 12] [--out results/verdict.json]
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import machine, write

from neocog.inside.explain.class_map import ClassMap
from neocog.inside.explain.score import ClassScore
from neocog.inside.explain.table import METHODS
from neocog.inside.explain.verdict import judge
from neocog.inside.stages import last_maps

SIDE, SQUARE = 24, 6
COLOURS = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
CLASSES = len(COLOURS) + 1
"""A square of each colour, or none."""
WANTED = 0.8
"""Of a map's weight, on the square."""


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
            found = judge(network, one[None], weigh, partial(_probability, of=int(of)), most=how.most)
            weight = weigh(network)
            share = float(weight[square].sum() / weight.sum()) if weight.any() else 0.0
            rows.append({"seed": seed, "how": name, "share": share, **found.json()})
    return rows


def _weight(network: nn.Module, *, how: ClassMap, x: Tensor, of: int, layer: str) -> Tensor:
    return how.weight(how.values(network, x, score=ClassScore(of), layer=layer), (SIDE, SIDE))[0]


def _probability(network: nn.Module, x: Tensor, *, of: int) -> Tensor:
    return network(x).softmax(1)[:, of]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of a method's maps: the mean share on the square; how many have most of it there, how many are called
    use, the least share and how many have less than `WANTED` among these; how often each word fell.
    """
    shares = [row["share"] for row in rows]
    used = [row["share"] for row in rows if row["word"] == "use"]
    words = Counter(row["word"] for row in rows)
    return {
        "maps": len(rows),
        "mean_share": round(sum(shares) / len(shares), 4),
        "on_the_square": sum(share >= WANTED for share in shares),
        "least_of_use": round(min(used), 4) if used else None,
        "use_but_less": sum(share < WANTED for share in used),
        "words": {word: words[word] for word in ("use", "careful", "ignore")},
    }


def main() -> None:
    """Print every method's words and shares; exit 1 where a map called use has too little on the square."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    before = machine()
    seeds = range(given.first, given.first + given.seeds)
    rows = [row for seed in seeds for row in judged(seed, given.pictures)]
    found = {name: summary([row for row in rows if row["how"] == name]) for name in _names(rows)}
    found["all"] = summary(rows)
    for name, said in found.items():
        print(f"{name:11} {said}")
    write(
        given.out,
        [{"how": name, "seeds": [seeds[0], seeds[-1]], **said} for name, said in found.items()],
        before,
    )
    raise SystemExit(1 if found["all"]["use_but_less"] else 0)


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["how"] for row in rows))


if __name__ == "__main__":
    main()
