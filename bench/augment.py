"""What augmenting a batch costs beside a training step of the CIFAR network C2: python bench/augment.py

Both are timed in turn, pair by pair, so that a machine that slows down slows both; medians are printed. The
target: C3's settings on 128 pictures cost less than 15 % of a step on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from neocog.data.augment.augment import PRESETS, Augment

SETTINGS = {
    "C3": Augment(rotation=30, shift_height=0.2, shift_width=0.2, flip="horizontal"),
    "C3, wrap": Augment(rotation=30, shift_height=0.2, shift_width=0.2, flip="horizontal", fill="wrap"),
    "flip": Augment(flip="horizontal"),
    "flip, crop 4": Augment(flip="horizontal", crop=4, fill="constant"),
    "hue": Augment(hue=0.1),
    "mixup": Augment(mixup=0.2),
    "cutmix": Augment(cutmix=1.0),
    **{name: Augment(preset=name) for name in PRESETS},  # type: ignore[arg-type]
}
TARGET = 0.15


def network() -> nn.Sequential:
    """C2: three blocks of two convolutions with batch norm, in plain torch."""
    layers: list[nn.Module] = []
    before = 3
    for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4)):
        for channels in (before, filters):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(filters)]
        layers += [nn.MaxPool2d(2), nn.Dropout(rate)]
        before = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4 * 4, 10))


def step(x: Tensor, y: Tensor, precision: torch.dtype) -> Callable[[], None]:
    """One training step on `x` and `y`, ready to be called again and again."""
    net = network().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.9)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return run


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    x = torch.rand(arguments.batch, 3, 32, 32).mul_(255).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (arguments.batch,))
    generator = torch.Generator().manual_seed(0)
    print(f"torch {torch.__version__}, {arguments.threads} threads, batch {arguments.batch}")
    for precision in (torch.float32, torch.bfloat16):
        training = step(x / 255 - 0.5, y, precision)
        training()
        for name, augment in SETTINGS.items():
            pairs = []
            for _ in range(arguments.pairs):
                fresh = x.clone()
                cost = milliseconds(lambda: augment(fresh, y, 10, generator))  # noqa: B023 - called at once
                pairs.append((cost, milliseconds(training)))
            cost, beside = (statistics.median(column) for column in zip(*pairs, strict=True))
            verdict = "" if name != "C3" else "  target met" if cost / beside < TARGET else "  TARGET MISSED"
            kind = str(precision).removeprefix("torch.")
            print(
                f"{kind:9} {name:13} {cost:7.2f} ms  step {beside:7.1f} ms  {cost / beside:6.1%}{verdict}",
                flush=True,
            )


if __name__ == "__main__":
    main()
