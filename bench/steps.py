"""Where a training step goes, and what the machine could do: each network's step beside the time that the
matrix products of its own layers would take by themselves, and beside steps without some kinds of layers.

    python bench/steps.py [c2 lenet] [--precision float32 bfloat16] [--rounds 12] [--compile] [--out FILE]

A convolution is one product of (pictures x places, kernel x channels in) by (..., channels out); backward it
is two more of as many operations (the first layer needs no gradient of its input). The limit 'own' is the sum
over the layers of the best time of those products with torch.mm; 'large' is a step at the speed of a product
of 2048 cubed. Steps and products take turns, so that whatever else the machine does meets all of them.
Printed is each limit as a share of the step, both medians over the rounds, and how much shorter a step is
without normalisation, ReLU, dropout, and without all of these: at most that can be won there. (A profiler
says less: it takes memory while it looks, and the pages of that memory are charged to the operations.)
--compile adds a step that torch.compile has made; it needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from throughput import CASES
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from turns import machine, product, write

from neocog.data.dataset import Dataset, Split
from neocog.events import Step
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.tasks.task import Objective
from neocog.training.loop import Training, prepare
from neocog.world import find

RECIPE = {"lenet": "lenet-mnist", "c2": "c2"}
WITHOUT: dict[str, tuple[type[nn.Module], ...]] = {
    "normalisation": (nn.BatchNorm2d,),
    "relu": (nn.ReLU,),
    "dropout": (_DropoutNd,),
    "all of these": (nn.BatchNorm2d, nn.ReLU, _DropoutNd),
}
STEPS = 4
"""Steps of each side in a round; one more before them is not counted."""


def job(name: str, precision: Any, batches: int = 20) -> Training:
    """The training of a case of bench/throughput.py on pictures of noise."""
    batch, shape = int(CASES[name]["batch"]), CASES[name]["shape"]  # type: ignore[call-overload]
    x = torch.randint(0, 256, (batch * batches, *shape), dtype=torch.uint8)  # type: ignore[misc]
    y = torch.randint(0, 10, (len(x),))
    recipe = override(RECIPES[RECIPE[name]], [f"batch={batch}", "epochs=100000", "probes=off"])
    return prepare(recipe, Dataset("noise", tuple("0123456789"), Split(x, y)), find("cpu", precision))


def leave_out(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> int:
    """Put nothing in the place of every layer of these kinds; returns how many there were."""
    found = [
        (parent, name)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, kinds)
    ]
    for parent, name in found:
        setattr(parent, name, nn.Identity())
    return len(found)


def products(network: nn.Module, x: torch.Tensor) -> list[tuple[int, int, int]]:
    """(m, k, n) of every matrix product of a training step on `x`, forward and backward."""
    shapes: list[tuple[int, int, int]] = []

    def seen(module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            m, k, n = out[:, 0].numel(), module.weight[0].numel(), module.out_channels
        elif isinstance(module, nn.Linear):
            m, k, n = len(out), module.in_features, module.out_features
        else:
            return
        first = not shapes
        shapes.extend([(m, k, n), (k, m, n)] if first else [(m, k, n), (k, m, n), (m, n, k)])

    hooks = [module.register_forward_hook(seen) for module in network.modules()]
    with torch.no_grad():
        network.eval()(x)
    network.train()
    for hook in hooks:
        hook.remove()
    return shapes


def stepping(training: Training) -> Generator[None]:
    """One step of the ordinary loop each time."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        begin(run, training.recipe, {})
        for event in training.events(run, stop=lambda: False):
            if isinstance(event, Step):
                yield


def compiled(training: Training) -> Generator[None]:
    """The same steps with forward and backward pass compiled."""
    going = stepping(training)
    with mock.patch("neocog.training.loop.Objective", lambda *given: torch.compile(Objective(*given))):
        next(going)  # the first step makes its objective
    return going


def seconds(going: Generator[None]) -> float:
    """The median of some steps."""
    next(going)
    times = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        next(going)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def measure(name: str, precision: str, rounds: int, *, compiling: bool) -> dict[str, Any]:
    """One network: its step, the limits, and steps without some of its layers."""
    training = job(name, precision)
    x, _ = next(training.batches(0))
    shapes = products(training.trained.network, x)
    sides = {"step": stepping(training)}
    for what, kinds in WITHOUT.items():
        other = job(name, precision)
        if leave_out(other.trained.network, kinds):
            sides[what] = stepping(other)
    if compiling:
        sides["compiled"] = compiled(job(name, precision))
    work = sum(2 * m * k * n for m, k, n in shapes)
    taken: dict[str, list[float]] = {side: [] for side in (*sides, "own", "large")}
    for going in sides.values():
        seconds(going)
    for _ in range(rounds):
        for side, going in sides.items():
            taken[side].append(seconds(going))
        taken["own"].append(
            sum(2 * m * k * n / product(precision, m, k, n, seconds=0.03) for m, k, n in shapes)
        )
        taken["large"].append(work / product(precision, seconds=0.3))
    for going in sides.values():
        going.close()
    median = {side: statistics.median(times) for side, times in taken.items()}
    step = median["step"]
    row = {
        "network": name,
        "precision": precision,
        "batch": len(x),
        "step_seconds": step,
        "pictures_per_second": len(x) / step,
        "gflop_per_step": work / 1e9,
        "large_product_gflops": work / median["large"] / 1e9,
        "of_own_shapes": median["own"] / step,
        "of_large_product": median["large"] / step,
        "without": {side: 1 - median[side] / step for side in sides if side in WITHOUT},
    }
    if compiling:
        row["compiled_speed"] = step / median["compiled"]
    print(
        f"{name} {precision}: {len(x) / step:,.0f} pictures/s; the products of its layers would take "
        f"{row['of_own_shapes']:.0%} of that time, at the speed of a large one {row['of_large_product']:.0%}",
        flush=True,
    )
    for side, share in row["without"].items():  # type: ignore[attr-defined]
        print(f"    without {side}: {share:.1%} shorter", flush=True)
    if compiling:
        print(f"    compiled: {row['compiled_speed']:.2f} of the speed", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(RECIPE))
    parser.add_argument("--precision", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    before = machine()
    rows = [
        measure(n, p, asked.rounds, compiling=asked.compile) for n in asked.networks for p in asked.precision
    ]
    write(asked.out, rows, before)


if __name__ == "__main__":
    main()
