"""Probe: one look at a network in training that leaves no trace. Weights, gradients, running means and
draws are afterwards what they were.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call

from neocog.inside.capture import capture
from neocog.tasks.task import Objective
from neocog.zoo.modes import evaluating

SAMPLE = 4096
"""Numbers of a weight tensor that are compared before and after a step."""
PART = 2**16
"""Numbers that are copied in double precision at once."""
FLAT = 0.05
"""A sigmoid or tanh is saturated where its slope is under this share of the steepest."""
RELUS = (nn.ReLU, nn.ReLU6)


@dataclass(slots=True)
class Layers:
    """What a forward pass shows of the layers, each by its name."""

    dead: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: the layers, each weight tensor's gradient (root mean square), and how far the outputs for
    different pictures lie apart.
    """

    layers: Layers
    gradients: Mapping[str, float]
    spread: float


def weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weight tensors of convolutions and dense layers, in the order of the network; no biases, no
    normalisation.
    """
    return {name: w for name, w in network.named_parameters() if w.ndim > 1}


def sampled(network: nn.Module) -> dict[str, Tensor]:
    """Some numbers of every weight tensor, evenly spread over it: a copy (at most `SAMPLE`,)."""
    return {name: _spread(w.detach()).clone() for name, w in weights(network).items()}


def _spread(w: Tensor) -> Tensor:
    flat = w.reshape(-1) if w.is_contiguous() else w.permute(0, 2, 3, 1).reshape(-1)
    return flat[:: max(len(flat) // SAMPLE, 1)][:SAMPLE]


def moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """By name, how far the numbers moved, as a share of their size before."""
    shares = {}
    for name, old in before.items():
        shares[name] = root_mean_square(after[name] - old) / max(root_mean_square(old), 1e-12)
    return shares


def look(
    objective: Objective,
    x: Tensor,
    y: Tensor,
    precision: Callable[[], contextlib.AbstractContextManager[object]],
) -> Seen:
    """One pass forwards and backwards over pictures `x` (N, C, H, W) with targets `y`, in the mode and the
    precision in which the network trains, without a step.
    """
    network = objective.network
    buffers = {f"network.{name}": buffer.clone() for name, buffer in network.named_buffers()}
    learning = {name: w for name, w in weights(network).items() if w.requires_grad}
    devices = [x.device] if x.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.enable_grad(),
        _layers(network) as layers,
        capture(network, ["head"]) as outputs,
    ):
        torch.manual_seed(0)
        with precision():
            outcome = functional_call(objective, buffers, (x, y))
        found = torch.autograd.grad(outcome.loss, list(learning.values()), allow_unused=True)
    sizes = {
        name: root_mean_square(gradient) if gradient is not None else 0.0
        for name, gradient in zip(learning, found, strict=True)
    }
    spread = float(outputs["head"].detach().float().var(0, correction=0).mean().sqrt())
    return Seen(layers, sizes, spread)


def root_mean_square(numbers: Tensor) -> float:
    """Of all numbers of a tensor, summed in double precision, some at a time: a copy of a large dense layer's
    gradient in that precision would be more than all else that a look takes.
    """
    parts = torch.split(numbers.detach().flatten(), PART)
    return math.sqrt(sum(float(part.double().square().sum()) for part in parts) / numbers.numel())


@torch.no_grad()
def answers(
    network: nn.Module, x: Tensor, precision: Callable[[], contextlib.AbstractContextManager[object]]
) -> Tensor:
    """Outputs (N, classes), float32, of the network in evaluation."""
    with evaluating(network), precision():
        return network(x).float()  # type: ignore[no-any-return]


@contextlib.contextmanager
def _layers(network: nn.Module) -> Iterator[Layers]:
    """Fills with what the forward passes within the block show."""
    found = Layers()
    with contextlib.ExitStack() as hooks:
        for name, module in network.named_modules():
            if isinstance(module, RELUS):
                hooks.callback(module.register_forward_hook(_dead(found.dead, name)).remove)
            elif isinstance(module, nn.Sigmoid | nn.Tanh):
                hooks.callback(module.register_forward_hook(_flat(found.saturated, name)).remove)
        yield found


def _dead(found: dict[str, float], name: str):  # type: ignore[no-untyped-def]  # torch types hooks loosely
    def hear(module: nn.Module, inputs: object, output: Tensor) -> None:
        channels = output.detach().transpose(0, 1).flatten(1)
        found[name] = float((channels.amax(1) <= 0).float().mean())

    return hear


def _flat(found: dict[str, float], name: str):  # type: ignore[no-untyped-def]  # torch types hooks loosely
    def hear(module: nn.Module, inputs: object, output: Tensor) -> None:
        out = output.detach().float()
        slope = 4 * out * (1 - out) if isinstance(module, nn.Sigmoid) else 1 - out.square()
        found[name] = float((slope < FLAT).float().mean())

    return hear
