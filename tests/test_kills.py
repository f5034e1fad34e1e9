"""kill -9 at random moments of a run, again and again: it goes on, and ends with the same bits, metrics,
result and report.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neocog import sealed
from neocog.runs.run import UNREPORTED, Run

ZYGOTE = """
import json, os, sys
import neocog.training.loop as loop, neocog.training.saving as saving, neocog.training.watchers, torch
import neocog.report.page, neocog.verbs.train
from neocog.cli import run
from neocog.show import charts
torch.set_num_threads(1)
loop.SAVE_EVERY, saving.SAVE_SHARE = 0.0, float("inf")
charts.training_curves([])  # matplotlib is there
for line in sys.stdin:
    os.environ["NEOCOG_HOME"], *argv = json.loads(line)
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = open(os.devnull, "w")
        os._exit(run(argv))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Zygote:
    """A process that has imported everything and computed nothing with torch: its children train at once,
    and can be killed.
    """

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, cache: Path, *argv: str, kill_after: float | None = None) -> int:
        """One command in a child; its exit code, -9 where it was killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(cache), *argv]) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


TIMED = {"seconds", "pictures_per_second"}


def ended(run: Run) -> dict[str, object]:
    """What a run came to: bits, metrics, result and report, without what a clock says."""
    clock = r"in [\d.,]+ [a-z]+ \(done\)|<tr><th>begun</th>.*"
    return {
        "model": run.model_file.read_bytes(),
        "state": {name: t.view(-1).tolist() for name, t in sealed.read(run.state_file)[0].items()},
        "metrics": [{k: v for k, v in m.items() if k not in TIMED} for m in run.metrics()],
        "result": run.facts()["result"],
        "report": re.sub(clock, "", run.report_file.read_text()),
    }


LAYERS = [
    {"kind": "conv", "filters": 4, "kernel": 3},
    {"kind": "batchnorm"},
    {"kind": "relu"},
    {"kind": "dropout", "rate": 0.2},
    {"kind": "globalpool"},
    {"kind": "dense", "units": "classes"},
]
CHANGES = ["epochs=4", "batch=2", "optim.schedule=cosine", "augment.rotation=10", "average=0.9"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fifty_kills_at_random_moments_end_with_the_same_bits(
    tiny: Path, tmp_path: Path, precision: str, zygote: Zygote
) -> None:
    """Saved at every step, with a cache of its own for every run: killed while it reads the pictures, trains,
    saves, measures and reports; resumed each time.
    """
    kills_and_goings_on(tiny / "pictures", tmp_path, precision, zygote, kills=50, seed=20261122)


def kills_and_goings_on(
    pictures: Path, folder: Path, precision: str, zygote: Zygote, *, kills: int, seed: int
) -> None:
    """Runs in `folder`, killed so often in all, until each is done; what one came to is what a run comes to
    that nobody killed.
    """
    moments = random.Random(seed)
    net = folder / "net.json"
    net.write_text(json.dumps({"layers": LAYERS}))
    begin = ["train", str(pictures), "-q", "--model", str(net), "--set", f"precision={precision}"]
    begin += [part for change in CHANGES for part in ("--set", change)]
    assert zygote.run(folder, "--version") == 0  # the imports are not counted in the run's length
    started = time.monotonic()
    assert zygote.run(folder / "whole" / "cache", *begin, "--out", str(folder / "whole" / "run")) == 0
    length = time.monotonic() - started
    whole = ended(Run(folder / "whole" / "run"))
    done = rounds = 0
    while done < kills:
        rounds += 1
        place = folder / f"cut{rounds}"
        cut = Run(place / "run")
        command = [*begin, "--out", str(cut.path)]
        while (code := zygote.run(place / "cache", *command, kill_after=moments.uniform(0, length))) != 0:
            assert code == -signal.SIGKILL, f"seed {seed}, round {rounds}: exit code {code}"
            done += 1
            if not cut.recipe_file.exists():
                continue  # killed before there was a run: begun again in the same place
            command = ["train", "-q", "--resume", str(cut.path)]
            if "result" in (facts := cut.facts()) and UNREPORTED not in facts:
                break  # killed after everything was done
        found = ended(cut)
        assert not {name for name in whole if found[name] != whole[name]}, f"seed {seed}, round {rounds}"
