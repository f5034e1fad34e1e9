"""The words that every network of the zoo is written in.

ReLUs are `nn.ReLU()` modules, never in place and never used twice: the explain methods replace their backward
rule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from neocog.errors import unknown


class Network(nn.Module):
    """Every classifier of the zoo: named `features` (N, C, h, w), then a `head` (N, classes).

    Auxiliary classifiers hang on the output of a named stage and are used by `all_logits` alone, so `forward`
    always returns one tensor of logits. `aux_weight` is what the paper multiplies each auxiliary loss by.
    """

    def __init__(
        self,
        features: Mapping[str, nn.Module],
        head: nn.Module,
        *,
        aux: Mapping[str, nn.Module] | None = None,
        aux_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(OrderedDict(features))
        self.head = head
        self.aux = nn.ModuleDict(aux or {})
        self.aux_weight = aux_weight

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of the pictures `x` (N, C, H, W)."""
        return self.head(self.features(x))  # type: ignore[no-any-return]

    def all_logits(self, x: Tensor) -> list[Tensor]:
        """The main logits, then those of each auxiliary head in the order of the stages they hang on."""
        logits = []
        for name, stage in self.features.named_children():
            x = stage(x)
            if name in self.aux:
                logits.append(self.aux[name](x))
        return [self.head(x), *logits]

    def until(self, stage: str) -> Beginning:
        """What the network computes up to and including `stage`, and nothing after it.

        `stage` is a stage of `features` (`pool4`, `inception4a`), one inside a stage that runs in a line
        (`conv4_x.conv4_2`, `dense1.layer3`), or a layer of the head (`fc6`, `head.fc6`). The modules are the
        network's own, not copies, and keep their names; without the head any picture size goes in that the
        kept stages take. `UsageError` for a stage that there is not.
        """
        inside = stage.removeprefix("features.").removeprefix("head.").split(".")
        for part, other in (("features", "head"), ("head", "features")):
            line = getattr(self, part)
            if stage.partition(".")[0] == other or not isinstance(line, nn.Sequential):
                continue  # the other part was asked for by its full name
            if (kept := _up_to(line, inside)) is not None:
                return Beginning(self.features, kept) if part == "head" else Beginning(kept)
        raise unknown("stage", stage, [*_in_line(self.features), *_in_line(self.head)])

    def after(self, stage: str) -> Ending:
        """What the network computes after `stage`, of what `until(stage)` gives: the two after each other are
        the network without its auxiliary heads. The modules are the network's own. `UsageError` for a stage
        that `until` does not take.
        """
        kept, head = self.until(stage), self.head
        if len(kept.head):
            return Ending(nn.Sequential(), _rest(head, kept.head))
        return Ending(_rest(self.features, kept.features), head)


class Beginning(nn.Module):
    """The first stages of a `Network`, under their names there: `forward` gives what the last of them makes,
    (N, C, h, w), or (N, width) where it is a layer of the head.
    """

    def __init__(self, features: nn.Sequential, head: nn.Sequential | None = None) -> None:
        super().__init__()
        self.features = features
        self.head = head if head is not None else nn.Sequential()
        self.training = features.training

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # type: ignore[no-any-return]


class Ending(nn.Module):
    """The last stages of a `Network`: `forward` and `all_logits` give the logits (N, classes) of what the
    stage before them made.
    """

    aux_weight = 0.0

    def __init__(self, features: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # type: ignore[no-any-return]

    def all_logits(self, x: Tensor) -> list[Tensor]:
        """The logits, alone: auxiliary heads are left out."""
        return [self(x)]


def _rest(line: nn.Module, kept: nn.Sequential) -> nn.Sequential:
    """The members of `line` that `kept`, which `_up_to` made of it, leaves over."""
    names = [name for name, _ in kept.named_children()]
    left: OrderedDict[str, nn.Module] = OrderedDict()
    last, cut = names[-1], kept[-1]
    whole = dict(line.named_children())
    if cut is not whole[last]:
        left[last] = _rest(whole[last], cut)  # type: ignore[arg-type]
    left |= dict(list(whole.items())[len(names) :])
    made = nn.Sequential(left)
    made.training = line.training
    return made


def _up_to(line: nn.Sequential, path: Sequence[str]) -> nn.Sequential | None:
    """The members of `line` up to the one that `path` leads to; None where it leads nowhere."""
    kept: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in line.named_children():
        kept[name] = module
        if name == path[0]:
            break
    else:
        return None
    if len(path) > 1:
        inner = kept[path[0]]
        cut = _up_to(inner, path[1:]) if isinstance(inner, nn.Sequential) else None
        if cut is None:
            return None
        kept[path[0]] = cut
    made = nn.Sequential(kept)
    made.training = line.training
    return made


def _in_line(line: nn.Module) -> Iterator[str]:
    """The names that `Network.until` takes: members of Sequentials within Sequentials."""
    for name, module in line.named_children() if isinstance(line, nn.Sequential) else ():
        yield name
        yield from (f"{name}.{inner}" for inner in _in_line(module))


class GlobalPool(nn.Module):
    """Mean or maximum over all positions: (N, C, *sizes) -> (N, C). Written without adaptive pooling,
    which exports badly.
    """

    def __init__(self, how: Literal["average", "max"] = "average") -> None:
        super().__init__()
        self.how = how

    def output_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        return ()

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.ndim))
        return x.mean(axes) if self.how == "average" else x.amax(axes)

    def extra_repr(self) -> str:
        return self.how


class Logistic(nn.Module):
    """One logit (N, 1) of the second of two classes as the logits of both (N, 2): 0 and z, whose softmax is
    1 - s(z) and s(z).
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(x), x], 1)


def conv(
    width: int,
    out: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int | tuple[int, int] | Literal["half"] = "half",
    groups: int = 1,
    bias: bool | None = None,
    norm: bool = True,
    relu: bool = True,
    eps: float = 1e-5,
) -> nn.Sequential:
    """Convolution, then batch normalisation and ReLU where wanted: the named stages `conv norm relu`.

    `half` pads by (kernel - 1) / 2 on each side, as the papers in torch and Caffe do. The
    convolution has a bias exactly when there is no normalisation after it, unless `bias` says otherwise.
    """
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    amount = ((sides[0] - 1) // 2, (sides[1] - 1) // 2) if padding == "half" else padding
    stages["conv"] = nn.Conv2d(
        width, out, sides, stride, amount, groups=groups, bias=not norm if bias is None else bias
    )
    if norm:
        stages["norm"] = nn.BatchNorm2d(out, eps=eps)
    if relu:
        stages["relu"] = nn.ReLU()
    return nn.Sequential(stages)


class Concat(nn.Module):
    """Named branches side by side, joined along the channels: Inception's module."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches.values()], 1)


class Residual(nn.Module):
    """relu(body(x) + shortcut(x)), He et al. 2016, equation 1; without the ReLU where `relu` is an
    identity.
    """

    def __init__(
        self, body: nn.Module, shortcut: nn.Module | None = None, *, after: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.after = after if after is not None else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.body(x) + self.shortcut(x))  # type: ignore[no-any-return]


class Gate(nn.Module):
    """y = H(x) T(x) + x (1 - T(x)) with T = sigmoid(transform(x)), Srivastava et al. 2015, equation 3.

    The sigmoid is a module of its own, `openness`, so that a hook on it sees how far the gate is open.
    """

    def __init__(self, body: nn.Module, transform: nn.Module) -> None:
        super().__init__()
        self.body, self.transform, self.openness = body, transform, nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        t = self.openness(self.transform(x))
        return self.body(x) * t + x * (1 - t)  # type: ignore[no-any-return]


class Grow(nn.Module):
    """cat([x, layer(x)]) along the channels: DenseNet's dense connectivity, Huang et al. 2017, equation 2."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layer(x)], 1)


def pooled(width: int, classes: int, *, how: Literal["average", "max"] = "average") -> nn.Sequential:
    """The head `pool linear`: (N, width, *sizes) -> global pool -> (N, classes), for any input size."""
    return nn.Sequential(OrderedDict(pool=GlobalPool(how), linear=nn.Linear(width, classes)))
