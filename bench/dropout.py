"""Dropout by raw random bits beside torch's own: CPU time of one thread, forward and backward, best of many.

    python bench/dropout.py [--out FILE]

The two alternate; CPU time of one thread is right on a machine that is in use too. The maps are those of C2's
network after its first pooling, a batch of 64.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import nn
from turns import machine, write

from neocog.training.dropout import Dropout

SHAPE, RATE, ROUNDS = (64, 32, 16, 16), 0.2, 60


def seconds(layer: nn.Module, x: torch.Tensor) -> float:
    """CPU time of one pass and its backward pass."""
    x.grad = None
    begun = time.thread_time()
    layer(x).backward(x.detach())
    return time.thread_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before = machine()
    torch.set_num_threads(1)
    rows = []
    for kind in (torch.float32, torch.bfloat16):
        x = torch.randn(SHAPE).to(kind).contiguous(memory_format=torch.channels_last).requires_grad_()
        rounds = [(seconds(Dropout(RATE), x), seconds(nn.Dropout(RATE), x)) for _ in range(ROUNDS)]
        bits, torchs = (min(side) * 1e3 for side in zip(*rounds, strict=True))
        print(f"{kind}: bits {bits:.2f} ms, torch {torchs:.2f} ms, {torchs / bits:.1f} times", flush=True)
        rows.append({"kind": str(kind), "bits_ms": round(bits, 3), "torch_ms": round(torchs, 3)})
    write(asked.out, rows, before)


if __name__ == "__main__":
    main()
