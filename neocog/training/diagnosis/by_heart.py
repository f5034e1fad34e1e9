"""By heart: whether a network, begun anew, can learn a handful of pictures at all."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from neocog.optim.uncompiled import compiler_left_out, moved
from neocog.tasks.task import Objective, Task
from neocog.zoo import Model, Network, begin
from neocog.zoo.modes import training_mode

STEPS = 300
ENOUGH = 0.9
"""The share of the pictures that counts as learned."""


def learned_by_heart(network: Network, model: Model, task: Task, x: Tensor, y: Tensor) -> float:
    """The share 0..1 of pictures `x` (N, C, H, W) that a copy of `network` with fresh weights answers right
    after at most `STEPS` steps of Adam on nothing else. Targets `y` are those of the task. `network` is left
    alone.
    """
    learner = copy.deepcopy(network)
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(0)
        begin(model, learner, torch.Generator().manual_seed(0))
        learner.requires_grad_(True)
        training_mode(learner)
        objective = Objective(learner, task)
        with compiler_left_out():
            optimizer = torch.optim.Adam(learner.parameters(), lr=1e-3)
        share = 0.0
        for _ in range(STEPS):
            outcome = objective(x, y)
            share = max(share, float(outcome.right) / len(x))
            if share >= ENOUGH:
                break
            learner.zero_grad()
            torch.autograd.backward(outcome.loss)
            moved(optimizer)
    return share
