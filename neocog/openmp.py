"""OpenMP, as torch's sums on a CPU use it: how its threads wait for each other. That is read once, when torch
is loaded, so that only who comes before can set it. It changes speed, never a bit.

GNU's OpenMP lets a thread spin at a barrier for milliseconds (300,000 turns). Beside another busy process
that is time taken from the very partner who is waited for: a training then keeps a third of its speed on two
cores. A few turns are enough where the partner runs, and where he does not, sleeping lets him come back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping

SPINS = "GOMP_SPINCOUNT"
FEW = "2000"
"""Turns of the loop in which a thread waits; a few dozen nanoseconds each. Measured by bench/neighbour.py."""
WAITING = ("OMP_WAIT_POLICY", SPINS)
"""Variables of the environment that say how threads wait; what a user says there is left alone."""


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let threads spin for a moment only, in a process that is still to load torch, unless `environment` says
    how they wait.
    """
    if not told(environment):
        environment[SPINS] = FEW


def told(environment: Mapping[str, str]) -> dict[str, str]:
    """What `environment` says of how threads wait."""
    return {name: environment[name] for name in WAITING if name in environment}


def remarks(environment: Mapping[str, str], threads: int) -> tuple[str, ...]:
    """What cannot be set any more, in a process that has loaded torch by itself: one sentence, or none where
    something was said or nobody waits.
    """
    if threads == 1 or told(environment) or sys.platform != "linux":
        return ()
    return (
        f"{threads} threads wait for each other spinning, which is slow while other programs run; that is "
        f"fixed when torch is loaded: set {SPINS}={FEW} in the environment before, or use the command line",
    )
