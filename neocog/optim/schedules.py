"""Schedules: the learning rate as a pure function of the step."""

from __future__ import annotations

import math

from neocog.optim.settings import Optim

ONE_CYCLE_RISE = 0.3  # share of the training in which the rate rises; Smith & Topin 2018, as fastai sets it
ONE_CYCLE_START = 1 / 25


def scheduled(optim: Optim, step: int, *, steps: int, per_epoch: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`, `per_epoch` of them an epoch. Pure: a resume
    needs no state.
    """
    rise = optim.warmup * per_epoch
    warm = min(1.0, (step + 1) / rise) if rise > 0 else 1.0
    epoch = step / per_epoch
    progress = min(max(step - rise, 0) / max(steps - rise, 1), 1.0)
    match optim.schedule:
        case "constant":
            share = 1.0
        case "step":
            share = optim.factor ** sum(epoch >= drop for drop in optim.drops)
        case "exponential":
            share = optim.factor**epoch
        case "inverse-time":
            share = 1 / (1 + optim.decay * step)
        case "cosine":
            share = (1 + math.cos(math.pi * progress)) / 2
        case "one-cycle":
            share = _one_cycle(progress)
    return optim.rate * warm * share


def _one_cycle(progress: float) -> float:
    if progress < ONE_CYCLE_RISE:
        return (
            ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - math.cos(math.pi * progress / ONE_CYCLE_RISE)) / 2
        )
    return (1 + math.cos(math.pi * (progress - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))) / 2
