"""Verdict: how far a class map can be trusted, by what becomes of the network's answer.

Deletion and insertion after Petsiuk, Das and Saenko, "RISE", 2018, https://arxiv.org/abs/1806.07421, section
4.3, against the same map moved elsewhere; the randomised-weights check after Adebayo et al., "Sanity Checks
for Saliency Maps", 2018, https://arxiv.org/abs/1810.03292. The thresholds are those of bench/verdict.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from neocog.inside.explain.occlusion import occlusion
from neocog.inside.explain.score import Score
from neocog.show.words import percent
from neocog.zoo.modes import evaluating

Word = Literal["use", "careful", "ignore"]
SHARES = (0.0, 0.01, 0.02, 0.04, 0.06, 0.09, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
"""Shares of the pixels that are covered, or shown, one after the other."""
MOVED = 4
"""Copies of the map, moved to where chance puts them, that it is compared with."""
LEAST_GAIN, LEAST_FOCUS, MOST_ALIKE = 0.1, 0.8, 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks found, all as shares of the probability of the whole picture.

    deletion   the mean probability while the map's strongest pixels are covered first; low is good
    insertion  the mean while they are shown first on plain grey; high is good
    gain       how much better both are, on average, than of the same map moved elsewhere
    focus      how much of the map's weight lies where a square of a quarter of the side, laid over it, costs
               at least half of what it costs anywhere; 0 where it costs nothing anywhere
    alike      the rank correlation of the map with that of a network with shuffled weights; low is good
    most       the best word that the method can have: 'careful' where it fails the last check by design
    """

    deletion: float
    insertion: float
    gain: float
    focus: float
    alike: float
    most: Word = "use"

    @property
    def word(self) -> Word:
        """'use' where every check is passed, 'ignore' where the map does no better than one moved elsewhere
        or does not depend on the weights, else 'careful'.
        """
        if self.gain <= 0 or self.alike > 0.9:
            return "ignore"
        passed = self.gain >= LEAST_GAIN and self.focus >= LEAST_FOCUS and self.alike <= MOST_ALIKE
        return self.most if passed else "careful"

    def text(self) -> str:
        return (
            f"{self.word}: deletion {self.deletion:.2f}, insertion {self.insertion:.2f}, "
            f"{self.gain:+.2f} against the map moved elsewhere; {percent(self.focus, digits=0)} of it "
            "where it counts; "
            f"{self.alike:.2f} alike with shuffled weights"
        )

    def json(self) -> dict[str, Any]:
        """The word and the figures."""
        figures = {name: getattr(self, name) for name in ("deletion", "insertion", "gain", "focus", "alike")}
        return {"word": self.word, **figures}


def judge(
    network: nn.Module,
    x: Tensor,
    weigh: Callable[[nn.Module], Tensor],
    probability: Score,
    *,
    most: Word = "use",
    seed: int = 0,
) -> Verdict:
    """The verdict on the map that `weigh` makes of a network for the picture `x` (1, C, H, W): (H, W), never
    negative. `probability` (network, x (N, ...)) -> (N,) is the answer that it explains.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = weigh(network)
    if not bool(weight.any()):
        return Verdict(1.0, 0.0, 0.0, 0.0, 1.0)
    with torch.no_grad(), evaluating(network):
        whole = max(1e-6, float(probability(network, x)))
        covered, shown = curves(network, x, weight, probability)
        chance = []
        for _ in range(MOVED):
            by = [_some(size // 4, 3 * size // 4 + 1, generator) for size in weight.shape]
            less, more = curves(network, x, weight.roll(by, (0, 1)), probability)
            chance.append(float(less.mean() - more.mean()))
    gain = (sum(chance) / MOVED - float(covered.mean() - shown.mean())) / 2
    alike = correlation(weight, weigh(shuffled(network, generator)))
    side = max(1, min(weight.shape) // 4)
    falls = occlusion(
        network, x, score=probability, window=side, stride=max(1, side // 2), fill=float(x.mean())
    )
    deciding = focus(weight, falls[0] / whole)
    return Verdict(float(covered.mean()), float(shown.mean()), gain, deciding, alike, most)


def _some(least: int, end: int, generator: torch.Generator) -> int:
    return int(torch.randint(least, end, (), generator=generator))


def curves(network: nn.Module, x: Tensor, weight: Tensor, probability: Score) -> tuple[Tensor, Tensor]:
    """The probability, as a share of the whole picture's, while `SHARES` of the pixels are covered with the
    picture's mean grey, the strongest of `weight` first; and while they alone are shown.
    """
    order = weight.flatten().argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    rank = rank.reshape(weight.shape)
    grey = x.mean()
    first = torch.stack([rank < round(share * rank.numel()) for share in SHARES])[:, None]
    whole = probability(network, x).clamp(min=1e-6)
    covered = probability(network, torch.where(first, grey, x)) / whole
    return covered, probability(network, torch.where(first, x, grey)) / whole


def focus(weight: Tensor, falls: Tensor) -> float:
    """The share of `weight` (H, W) on the places whose covering makes the probability fall by at least half
    of the largest of `falls`, (H, W), shares of the whole picture's; 0 where no covering costs a tenth.
    """
    most = float(falls.max())
    if most < 0.1:
        return 0.0
    return float(weight[falls >= most / 2].sum() / weight.sum())


def shuffled(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of the network in which every weight stands at another place of its tensor."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            flat = parameter.flatten()
            parameter.copy_(
                flat[torch.randperm(len(flat), generator=generator).to(flat.device)].view_as(parameter)
            )
    return other


def correlation(one: Tensor, two: Tensor) -> float:
    """Spearman's rank correlation of two maps; 0 where one of them is the same everywhere."""
    ranks = [_ranks(some.flatten().double()) for some in (one, two)]
    a, b = (rank - rank.mean() for rank in ranks)
    length = float(a.norm() * b.norm())
    return float(a @ b) / length if length > 0 else 0.0


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 0; those that are equal share their mean."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    means: Tensor = last - (counts.double() + 1) / 2
    return means[inverse]
