"""Borders, and the pools that torch has not, or not so: TensorFlow's `same` padding, borders that mirror or
repeat pixels, the root of the sum of squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.arithmetic import Refusal, window

Border = Literal["zero", "constant", "reflect", "nearest"]
_AVERAGE = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


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
