"""A plugin of pytest for `mutants.py --map`: which functions of the package each test calls, its fixtures'
included, how long it takes, and whether it starts other processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

PACKAGE = os.environ["MUTANTS_CORE"]
PARTS = Path(os.environ["MUTANTS_PARTS"])
ABOVE = len(str(Path(PACKAGE).parent)) + 1

reached: set[str] = set()
by_fixture: dict[Any, tuple[set[str], bool]] = {}
found: dict[str, dict[str, Any]] = {}
elsewhere = [False]
failed: set[str] = set()
_start = subprocess.Popen.__init__


def _popen(self: Any, *arguments: Any, **more: Any) -> None:
    elsewhere[0] = True
    _start(self, *arguments, **more)


def _call(frame: FrameType, event: str, argument: object) -> None:
    code = frame.f_code
    if code.co_filename.startswith(PACKAGE):
        reached.add(f"{code.co_filename[ABOVE:]}:{code.co_firstlineno}")


def pytest_sessionstart() -> None:
    subprocess.Popen.__init__ = _popen  # type: ignore[method-assign]
    threading.settrace(_call)
    sys.settrace(_call)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
    """What a fixture reaches belongs to every test that uses it, though it is made once."""
    before, started = set(reached), elsewhere[0]
    reached.clear()
    elsewhere[0] = False
    try:
        return (yield)
    finally:
        by_fixture[fixturedef] = (set(reached), elsewhere[0])
        reached.update(before)
        elsewhere[0] |= started


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.outcome != "passed":
        failed.add(report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[None]:
    reached.clear()
    elsewhere[0] = False
    sys.settrace(_call)
    begun = time.monotonic()
    try:
        return (yield)
    finally:
        seconds = time.monotonic() - begun
        of_fixtures = [
            by_fixture[d]
            for definitions in item._fixtureinfo.name2fixturedefs.values()
            for d in definitions
            if d in by_fixture
        ]
        found[item.nodeid] = {
            "seconds": round(seconds, 3),
            "passed": item.nodeid not in failed,
            "elsewhere": elsewhere[0] or any(started for _, started in of_fixtures),
            "reached": sorted(reached.union(*(names for names, _ in of_fixtures))),
        }


def pytest_sessionfinish() -> None:
    sys.settrace(None)
    (PARTS / f"{os.getpid()}.json").write_text(json.dumps(found))
