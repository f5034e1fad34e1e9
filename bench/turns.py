"""What the speed measurements share: sides that take turns in one run, the machine, and its own limit.

Each side is a process of its own that warms up, then waits; sides are told in turn to do their work, so that
whatever else the machine does meets all of them.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


class Worker:
    """One side: `script` under `python`, given a case. It prints 'ready' when it is warm, then for every line
    that it reads the figure of one turn.
    """

    def __init__(
        self,
        python: str,
        script: str,
        name: str,
        precision: str,
        case: Mapping[str, object],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-c", script, name, json.dumps(case), precision],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        if self._line() != "ready":
            raise SystemExit(f"{python} could not run its side of {name} {precision}")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def turn(self) -> float:
        """The figure of one turn."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def machine() -> dict[str, Any]:
    """What a later reader needs to know: processor, cores, versions, commit, load before."""
    import torch

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = (line.partition(":") for line in info.splitlines())
    said = {name.strip(): value.strip() for name, _, value in lines}
    flags = set(said.get("flags", "").split())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT
    ).stdout.strip()
    return {
        "processor": said.get("model name", platform.machine()),
        "multiplies": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": commit,
        "load_before": os.getloadavg()[0],
        "day": time.strftime("%Y-%m-%d"),
    }


def product(precision: str, m: int = 2048, k: int = 2048, n: int = 2048, seconds: float = 0.5) -> float:
    """Floating-point operations per second of a matrix product (m, k) by (k, n): the best of several."""
    import torch

    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    a, b = torch.randn(m, k).to(kind), torch.randn(k, n).to(kind)
    best, until = float("inf"), time.perf_counter() + seconds
    torch.mm(a, b)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begun)
    return 2 * m * k * n / best


def medians(rounds: list[tuple[float, ...]]) -> list[float]:
    """Of each side, over the rounds."""
    return [statistics.median(side) for side in zip(*rounds, strict=True)]


def write(path: Path | None, rows: list[dict[str, Any]], before: Mapping[str, Any]) -> None:
    """The rows as JSON under what `machine` said before the first of them."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": before, "rows": rows}, indent=2) + "\n")
