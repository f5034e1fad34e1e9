"""The words that every network of the zoo is written in.

ReLUs are `nn.ReLU()` modules, never in place and never used twice: the explain methods replace their backward
rule.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.arithmetic import Refusal, window
from neocog.errors import unknown

Border = Literal["zero", "constant", "reflect", "nearest"]
_AVERAGE = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


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


class Same(nn.Module):
    """TensorFlow's `same` padding for a window: output size ceil(I / stride), the extra row and column at
    bottom and right.

    Works for one, two and three dimensions and any input size; `border` says what the padded pixels hold.
    """

    def __init__(
        self,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        dilation: Sequence[int] | None = None,
        border: Border = "zero",
        value: float = 0.0,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)
        self.dilation = tuple(dilation or (1,) * len(self.kernel))
        self.border, self.value = border, value

    def amounts(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """(before, after) per axis for an input of these spatial `sizes`."""
        pads = []
        for size, k, s, d in zip(sizes, self.kernel, self.stride, self.dilation, strict=True):
            total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            pads.append((total // 2, total - total // 2))
        return pads

    def output_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """The sizes with their border. Raises Refusal where there is too little to mirror."""
        return _bordered(sizes, self.amounts(sizes), self.border)

    def words(self) -> str:
        """The padding as `summary` shows it."""
        return f"same{_with_border(self.border, self.value)}"

    def forward(self, x: Tensor) -> Tensor:
        flat = [n for pair in reversed(self.amounts(x.shape[2:])) for n in pair]
        return pad(x, flat, self.border, self.value) if any(flat) else x

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}, border={self.border}"


class Pad(nn.Module):
    """A border of `amount` pixels per axis on both sides: zeros, a constant, the picture mirrored, or its
    nearest pixel.
    """

    def __init__(self, amount: Sequence[int], *, border: Border = "zero", value: float = 0.0) -> None:
        super().__init__()
        self.amount, self.border, self.value = tuple(amount), border, value

    def output_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """The sizes with their border. Raises Refusal where there is too little to mirror."""
        return _bordered(sizes, [(n, n) for n in self.amount], self.border)

    def words(self) -> str:
        """The padding as `summary` shows it: '2', '1x2 reflect'."""
        wide = self.amount[:1] if len(set(self.amount)) == 1 else self.amount
        return "x".join(str(n) for n in wide) + _with_border(self.border, self.value)

    def forward(self, x: Tensor) -> Tensor:
        return pad(
            x, [n for amount in reversed(self.amount) for n in (amount, amount)], self.border, self.value
        )

    def extra_repr(self) -> str:
        return f"amount={self.amount}, border={self.border}"


def _with_border(border: Border, value: float) -> str:
    return "" if border == "zero" else f" {value:g}" if border == "constant" else f" {border}"


def _bordered(sizes: Sequence[int], amounts: Sequence[tuple[int, int]], border: Border) -> tuple[int, ...]:
    """Sizes with `amounts` (before, after) per axis. A mirror needs more pixels than the border is wide."""
    for size, pair in zip(sizes, amounts, strict=True):
        if border == "reflect" and max(pair) >= size:
            raise Refusal(
                f"a border of {max(pair)} cannot be mirrored from {size} pixels (Padding size should be less "
                "than the corresponding input dimension)",
                needs=f"needs at least {max(pair) + 1}",
                excess=size - max(pair) - 1,
            )
    return tuple(size + before + after for size, (before, after) in zip(sizes, amounts, strict=True))


def pad(x: Tensor, flat: list[int], border: Border, value: float = 0.0) -> Tensor:
    """`torch.nn.functional.pad` in the zoo's words; `flat` is torch's list (last axis first)."""
    if border in ("zero", "constant"):
        return F.pad(x, flat, "constant", value if border == "constant" else 0.0)
    return F.pad(x, flat, "reflect" if border == "reflect" else "replicate")


class L2Pool(nn.Module):
    """Square root of the sum of squares over each window; (N, C, *sizes) of one, two or three dimensions.

    torch's LPPool has an infinite derivative where a window holds only zeros, which a ReLU makes common; a
    constant of 1e-12 under the root keeps it finite.
    """

    def __init__(self, kernel_size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel_size, self.stride = tuple(kernel_size), tuple(stride)
        self.padding = (0,) * len(self.kernel_size)

    def output_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        frame = window(self)
        assert frame is not None
        return tuple(frame.positions(n, axis) for axis, n in enumerate(sizes))

    def forward(self, x: Tensor) -> Tensor:
        mean = _AVERAGE[len(self.kernel_size) - 1]
        return (mean(x.square(), self.kernel_size, self.stride) * math.prod(self.kernel_size) + 1e-12).sqrt()

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class SameAveragePool(nn.Module):
    """Average pooling under TensorFlow's `same` padding: padded pixels count neither in the sum nor in the
    number.
    """

    def __init__(self, kernel_size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel_size, self.stride = tuple(kernel_size), tuple(stride)
        self.same = Same(kernel_size, stride)

    def output_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        return tuple(-(-size // s) for size, s in zip(sizes, self.stride, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        mean = _AVERAGE[len(self.kernel_size) - 1]
        inside = self.same(torch.ones_like(x[:1, :1]))
        return mean(self.same(x), self.kernel_size, self.stride) / mean(inside, self.kernel_size, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


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
