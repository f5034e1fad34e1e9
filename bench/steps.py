"""Where a training step goes, and what the machine could do: each network's step, its operations by their
time, and the time that the matrix products of its own layers would take by themselves.

    python bench/steps.py [c2 lenet] [--precision float32 bfloat16] [--steps 20] [--out FILE]

A convolution is one product of (pictures x places, kernel x channels in) by (..., channels out); backward it
is two more of as many operations (the first layer needs no gradient of its input). The limit is the sum over
the layers of the best time of those products with torch.mm; 'large' is a step at the speed of a product of
2048 cubed. Printed is each limit as a share of the step: how near the step comes to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from throughput import CASES
from torch import nn
from turns import machine, product, write

from neocog.data.dataset import Dataset, Split
from neocog.events import Step
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.training.loop import Training, prepare
from neocog.world import find

RECIPE = {"lenet": "lenet-mnist", "c2": "c2"}
SHOWN = 12
"""Operations that are printed."""


def job(name: str, precision: Any, batches: int = 20) -> Training:
    """The training of a case of bench/throughput.py on pictures of noise."""
    batch, shape = int(CASES[name]["batch"]), CASES[name]["shape"]  # type: ignore[call-overload]
    x = torch.randint(0, 256, (batch * batches, *shape), dtype=torch.uint8)  # type: ignore[misc]
    y = torch.randint(0, 10, (len(x),))
    recipe = override(RECIPES[RECIPE[name]], [f"batch={batch}", "epochs=100000", "probes=off"])
    return prepare(recipe, Dataset("noise", tuple("0123456789"), Split(x, y)), find("cpu", precision))


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


def stepping(training: Training) -> Iterator[None]:
    """One step of the ordinary loop each time."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        begin(run, training.recipe, {})
        for event in training.events(run, stop=lambda: False):
            if isinstance(event, Step):
                yield


def measure(name: str, precision: str, steps: int) -> dict[str, Any]:
    """One network: step, operations, limits."""
    training = job(name, precision)
    x, _ = next(training.batches(0))
    shapes = products(training.trained.network, x)
    going = stepping(training)
    for _ in range(10):
        next(going)
    times = []
    for _ in range(steps):
        begun = time.perf_counter()
        next(going)
        times.append(time.perf_counter() - begun)
    step = sorted(times)[len(times) // 2]
    with torch.profiler.profile() as profile:
        for _ in range(steps):
            next(going)
    going.close()
    spent = sorted(profile.key_averages(), key=lambda one: -one.self_cpu_time_total)
    whole = sum(one.self_cpu_time_total for one in spent)
    work = sum(2 * m * k * n for m, k, n in shapes)
    own = sum(2 * m * k * n / product(precision, m, k, n, seconds=0.2) for m, k, n in shapes)
    large = work / product(precision, seconds=1.0)
    row = {
        "network": name,
        "precision": precision,
        "batch": len(x),
        "step_seconds": step,
        "pictures_per_second": len(x) / step,
        "gflop_per_step": work / 1e9,
        "of_own_shapes": own / step,
        "of_large_product": large / step,
        "operations": {one.key: one.self_cpu_time_total / whole for one in spent[:SHOWN]},
    }
    print(
        f"{name} {precision}: {len(x) / step:,.0f} pictures/s; the products of its layers would take "
        f"{own / step:.0%} of that time, at the speed of a large product {large / step:.0%}",
        flush=True,
    )
    for key, share in row["operations"].items():  # type: ignore[attr-defined]
        print(f"    {share:6.1%}  {key}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(RECIPE))
    parser.add_argument("--precision", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before = machine()
    write(asked.out, [measure(n, p, asked.steps) for n in asked.networks for p in asked.precision], before)


if __name__ == "__main__":
    main()
