"""Style transfer: neocog beside a plain loop over the same convolutions in float32, and beside the method of
K. Crowson's style-transfer-pytorch, written again here, on the same weights.

    python bench/style.py CONTENT STYLE --eyes FILE [--size 256] [--steps 120] [--rounds 3] [--out F.json]
    python bench/style.py CONTENT STYLE --eyes FILE --method [--steps 300] [--out F.json]

FILE holds VGG19 or its first layers. Without --method: one size, so many steps of Adam from the content, in
turn, `rounds` times; seconds a step are medians. Both minimise the same losses. Whether the results can be
told apart is judged against a second plain loop that starts from the content with noise of one level of 255:
two float32 results that nobody would call different. Theirs are the distance (root of the mean square over
pixels) and the larger of the losses in float32 that ours must not exceed.

With --method: both minimise Crowson's objective from coarse to fine, with his weights, and show the mean of
iterates; he with his settings, neocog with fewer steps and a falling rate (`METHOD`). Both are judged by his
loss, in float32 at the last size; printed is when our picture first had no larger loss than his last one.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.model import open_trained
from neocog.pictures.decode import decode
from neocog.style.backbone import Backbone
from neocog.style.events import Stroke
from neocog.style.painting import Painting
from neocog.style.scene import Scene, Style
from neocog.style.settings import Settings
from neocog.world import World, find

FLOAT32 = World(torch.device("cpu"), "float32")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Plain(nn.Module):
    """The same convolutions as everybody writes them down: contiguous, float32, ReLU in place."""

    def __init__(self, network: nn.Module, layers: list[str]) -> None:
        super().__init__()
        self.stages, self.layers = nn.ModuleDict(), layers
        for name, stage in network.named_children():
            conv = stage[0] if isinstance(stage, nn.Sequential) else None
            if conv is not None:
                mine = nn.Conv2d(
                    conv.in_channels, conv.out_channels, 3, padding=1, padding_mode=_border(self.stages)
                )
                mine.load_state_dict(conv.state_dict())
                self.stages[name] = nn.Sequential(mine, nn.ReLU(inplace=True))
            else:
                self.stages[name] = nn.MaxPool2d(2)
            if name == layers[-1]:
                break
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = {}
        x = (x - x.new_tensor(MEAN).view(3, 1, 1)) / x.new_tensor(STD).view(3, 1, 1)
        for name, stage in self.stages.items():
            x = stage(x)
            if name in self.layers:
                found[name] = x
        return found


def _border(before: nn.ModuleDict) -> str:
    return "zeros" if len(before) else "replicate"


def gram(maps: Tensor) -> Tensor:
    flat = maps.flatten(2)[0]
    return flat @ flat.T / flat.shape[1]


class PlainLoop:
    """Adam on the same losses, with the last iterates averaged likewise."""

    def __init__(self, backbone: Backbone, network: nn.Module, scene: Scene, settings: Settings) -> None:
        self.layers, self.settings, self.variation = backbone.layers, settings, backbone.variation
        order = [name for name, _ in network.named_children()]
        self.model = Plain(network, sorted(self.layers.all, key=order.index))
        with torch.no_grad():
            content = self.model(scene.content_at(settings.size))
            style = self.model(scene.style_at(scene.styles[0], settings.size))
            self.content = {name: content[name] for name in self.layers.content}
            self.grams = {name: gram(style[name]) for name in self.layers.style}

    def loss(self, x: Tensor) -> Tensor:
        maps = self.model(x)
        total = x.new_zeros(())
        for name, weight in zip(self.layers.style, self.layers.weights):
            wanted = self.grams[name]
            total = total + weight * F.mse_loss(gram(maps[name]), wanted) / wanted.square().mean()
        for name, maps_wanted in self.content.items():
            far = F.mse_loss(maps[name], maps_wanted) / maps_wanted.square().mean()
            total = total + self.settings.content / len(self.content) * far
        across = (x[..., 1:] - x[..., :-1]).square().mean() + (x[..., 1:, :] - x[..., :-1, :]).square().mean()
        return total + self.variation * across

    def run(self, start: Tensor, steps: int) -> tuple[Tensor, float]:
        """The picture and the seconds that a step took."""
        x = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=self.settings.rate)
        total, mass, decay = torch.zeros_like(start), 0.0, self.settings.average
        begun = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            (self.loss(x) * x.numel()).backward()
            optimizer.step()
            with torch.no_grad():
                x.clamp_(0, 1)
                total, mass = decay * total + (1 - decay) * x, decay * mass + 1 - decay
        return (total / mass).clamp(0, 1), (time.perf_counter() - begun) / steps


def ours(trained: Any, scene: Scene, settings: Settings) -> tuple[Tensor, float]:
    """neocog's picture and the seconds that a step took, with its own loop and events."""
    painting = Painting(scene, Backbone(trained, settings, find("cpu", settings.precision)), settings, None)
    events = painting.events(lambda: Path(), stop=lambda: False)
    begun = 0.0
    for event in events:
        if begun == 0.0 and not isinstance(event, Stroke):
            begun = time.perf_counter() if type(event).__name__ == "Grown" else 0.0
    return painting.state.mean, (time.perf_counter() - begun) / settings.steps


def distance(a: Tensor, b: Tensor) -> float:
    """In levels of 255."""
    return 255 * float((a - b).square().mean().sqrt())


def beside_a_plain_loop(trained: Any, scene: Scene, settings: Settings, rounds: int) -> dict[str, Any]:
    """Rounds in turn."""
    plain = PlainLoop(Backbone(trained, settings, FLOAT32), trained.network.features, scene, settings)
    start = scene.content_at(settings.size)
    noise = (torch.rand(start.shape, generator=torch.Generator().manual_seed(1)) - 0.5) * 2 / 255
    mine, theirs = [], []
    for _ in range(rounds):
        theirs.append(plain.run(start, settings.steps))
        mine.append(ours(trained, scene, settings))
    again, _ = plain.run((start + noise).clamp(0, 1), settings.steps)
    with torch.no_grad():
        losses = {
            name: float(plain.loss(x))
            for name, x in (("neocog", mine[0][0]), ("plain", theirs[0][0]), ("plain, noise", again))
        }
    a, b = (statistics.median(s for _, s in runs) for runs in (mine, theirs))
    apart = {"neocog": distance(mine[0][0], theirs[0][0]), "noise": distance(again, theirs[0][0])}
    print(f"seconds a step: neocog {a:.3f}, plain {b:.3f}: {a / b:.2f}")
    print(f"loss in float32: {', '.join(f'{name} {value:.5f}' for name, value in losses.items())}")
    print(f"distance from the plain result: neocog {apart['neocog']:.2f}, noise {apart['noise']:.2f} levels")
    return {
        "seconds_a_step": {"neocog": [s for _, s in mine], "plain": [s for _, s in theirs]},
        "ratio_of_medians": a / b,
        "loss": losses,
        "levels_from_plain": apart,
    }


# --- Crowson's method --------------------------------------------------------------------------------------


def scaled(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared error over the sum of absolute errors: a gradient whose absolute values sum to about 2."""
    apart = found - wanted
    return apart.square().sum() / (apart.abs().sum() + 1e-8)


class Crowson:
    """style-transfer-pytorch: content 0.015, variation 2, layers of the style weighted 256, 64, 16, 4, 1,
    sizes by 2^0.5, Adam at 0.02 warm-started, 0.99 for the mean of iterates, 1000 iterations, then 500.
    """

    def __init__(self, backbone: Backbone, network: nn.Module, scene: Scene) -> None:
        self.layers, self.scene = backbone.layers, scene
        order = [name for name, _ in network.named_children()]
        self.model = Plain(network, sorted(self.layers.all, key=order.index))
        weights = [4.0**-n for n in range(len(self.layers.style))]
        self.weights = [weight / sum(weights) for weight in weights]

    @torch.no_grad()
    def aim(self, size: int) -> None:
        content = self.model(self.scene.content_at(size))
        style = self.model(self.scene.style_at(self.scene.styles[0], size))
        self.content = {name: content[name] for name in self.layers.content}
        self.grams = {name: gram(style[name]) for name in self.layers.style}

    def loss(self, x: Tensor) -> Tensor:
        maps, total = self.model(x), x.new_zeros(())
        for name, wanted in self.content.items():
            total = total + 0.015 / len(self.content) * scaled(maps[name], wanted)
        for name, weight in zip(self.grams, self.weights):
            total = total + weight * scaled(gram(maps[name]), self.grams[name])
        wide = F.pad(x, (0, 1, 0, 1), "replicate")
        across, down = wide[..., :-1, 1:] - x, wide[..., 1:, :-1] - x
        return total + 2 * (across.square() + down.square()).mean()

    def run(self, sizes: list[int], iterations: int) -> Iterator[Tensor]:
        """The picture after every iteration."""
        mean = self.scene.content_at(sizes[0])
        memory: dict[str, Tensor] = {}
        for number, size in enumerate(sizes):
            self.aim(size)
            sides = self.scene.sides(size)
            x = F.interpolate(mean, sides, mode="bicubic").clamp(0, 1).requires_grad_()
            optimizer = torch.optim.Adam([x], lr=0.02)
            if memory:
                optimizer.state[x] = {
                    "step": memory["step"],
                    "exp_avg": F.interpolate(memory["exp_avg"], sides, mode="bicubic"),
                    "exp_avg_sq": F.interpolate(memory["exp_avg_sq"], sides, mode="bilinear").relu_(),
                }
            total, mass = 0.01 * x.detach(), 0.01
            for _ in range(2 * iterations if number == 0 else iterations):
                optimizer.zero_grad()
                self.loss(x).backward()
                optimizer.step()
                with torch.no_grad():
                    x.clamp_(0, 1)
                    total, mass = 0.99 * total + 0.01 * x, 0.99 * mass + 0.01
                    mean = total / mass
                yield mean.clamp(0, 1)
            memory = dict(optimizer.state[x])


METHOD = {
    "scaling": "gradient",
    "content": 0.015,
    "variation": 2.0,
    "settling": 0.5,
}
"""Crowson's objective, which `style_weights` complete, and neocog's own way down: a falling rate in the place
of a long mean."""
EVERY = 25
"""Steps at the last size between two looks."""


def beside_crowson(trained: Any, scene: Scene, settings: Settings, iterations: int) -> dict[str, Any]:
    """Each from coarse to fine; when neocog's picture is as good as the other's at the end. Looking at the
    loss is no part of either's time.
    """
    backbone, network = Backbone(trained, settings, FLOAT32), trained.network.features
    other, judge = (Crowson(backbone, network, scene) for _ in range(2))
    judge.aim(settings.size)

    def looked(pictures: Iterator[Tensor]) -> list[tuple[float, float]]:
        """Seconds since the start and the loss, now and then at the last size and at the end."""
        begun, aside, seen = time.perf_counter(), 0.0, list[tuple[float, float]]()
        done = 0
        for x in pictures:
            done += max(x.shape[2:]) == settings.size
            now = time.perf_counter()
            if done and done % EVERY == 0:
                with torch.no_grad():
                    seen.append((now - begun - aside, float(judge.loss(x))))
                aside += time.perf_counter() - now
        return seen

    theirs = looked(other.run(list(settings.sizes), iterations))
    painting = Painting(scene, Backbone(trained, settings, find("cpu", settings.precision)), settings, None)
    strokes = (
        painting.state.mean
        for event in painting.events(lambda: Path(), stop=lambda: False)
        if isinstance(event, Stroke)
    )
    mine = looked(strokes)
    (seconds, wanted), (took, reached) = theirs[-1], mine[-1]
    sooner = next((passed for passed, loss in mine if loss <= wanted), None)
    print(f"Crowson's method: {seconds:.0f} s, loss at its end {wanted:.1f}")
    print(f"neocog: {took:.0f} s, loss at its end {reached:.1f}; as low as the other's after {sooner} s")
    return {
        "crowson": {"iterations": iterations, "seconds_and_losses": theirs},
        "neocog": {"seconds_and_losses": mine, "as_low_after": sooner},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--eyes", required=True, help="a file of VGG19's weights, whole or its first layers")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", action="store_true", help="beside Crowson's method, coarse to fine")
    parser.add_argument("--iterations", type=int, default=500, help="of Crowson's method at each size")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    scene = Scene(decode(asked.content), (Style(decode(asked.style)),))
    trained = open_trained(asked.eyes)
    if asked.method:
        layers = Backbone(trained, Settings(), FLOAT32).layers.style
        weights = tuple(4.0**-n for n in range(len(layers)))
        settings = Settings(size=asked.size, steps=asked.steps, style_weights=weights, **METHOD)
        found = beside_crowson(trained, scene, settings, asked.iterations)
    else:
        settings = Settings(size=asked.size, smallest=asked.size, steps=asked.steps)
        found = beside_a_plain_loop(trained, scene, settings, asked.rounds)
    if asked.out:
        found |= {
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
            "precision": find("cpu").precision,
            "settings": settings.json(),
            "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        asked.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
