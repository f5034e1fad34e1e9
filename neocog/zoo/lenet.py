"""LeNet-5: "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 86(11), 1998.

LeCun, Bottou, Bengio and Haffner, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B, Table I.
`lenet5` is the network as printed, with 60,000 trainable parameters; `lenet5_relu` is the copy taught today.

Differs from the paper: see `differs` in the two rows of `ARCHITECTURES`.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Network
from neocog.zoo.borders import Pad
from neocog.zoo.sizes import dense, out_shape

TABLE_1 = (  # which maps of S2 (rows) feed which maps of C3 (columns 0 to 15)
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)

FIGURE_3 = (  # the digits among the 7x12 bitmaps that F6 is to draw, row by row; '#' is +1, '.' is -1
    ".#####. ....... ..###.. .##.##. ##...## ##...## ##...## ##...## .##.##. ..###.. ....... .......",
    "...##.. ..###.. .####.. ...##.. ...##.. ...##.. ...##.. ...##.. ...##.. .###### ....... .......",
    ".#####. ....... .#####. ##...## #....## ....##. ..###.. .##.... ##..... ####### ....... .......",
    "####### .....## ....##. ...##.. ..####. .....## .....## .....## ##...## .#####. ....... .......",
    ".#####. ....... ....... .##..## .##..## ###..## ##...## ##...## ##..### .###### .....## .....##",
    ".#####. ....... ####### ##..... ##..... .####.. ..####. .....## ##...## .#####. ....... .......",
    "..####. .##.... ##..... ##..... ######. ###..## ##...## ##...## ###..## .#####. ....... .......",
    "####### .....## .....## ....##. ...##.. ...##.. ..##... ..##... ..##... ..##... ....... .......",
    ".#####. ##...## ##...## ##...## .#####. ##...## ##...## ##...## ##...## .#####. ....... .......",
    ".#####. ##..### ##...## ##...## ##..### .###### .....## .....## ....##. .####.. ....... .......",
)
FIELD = 32
"""Pixels a side that the paper sets its digits of 20 to 28 pixels into."""
CODE_LENGTH = 84
"""Units of F6: the pixels of a 7x12 bitmap."""


TEMPERATURE = 10.0
"""Squared distance that counts as one logit. At 1, cross-entropy soon drives F6 to the flat ends of its
tanh, where the paper's loss holds it at the codes: 400 batches of 64 MNIST digits gave 92 % right, and 95 %
at 10.
"""


class Squash(nn.Module):
    """A tanh(S a) with A = 1.7159 and S = 2/3: equation 6 and appendix A."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsample(nn.Module):
    """S2 and S4: the sum of each 2x2 square times a coefficient, plus a bias, squashed; both per map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.sum = nn.AvgPool2d(2, divisor_override=1)
        self.scale = nn.Conv2d(maps, maps, 1, groups=maps)
        self.squash = Squash()

    def begin(self, generator: torch.Generator) -> None:
        """Begin at 1/2, which keeps the variance of four numbers; near zero it would silence its map."""
        nn.init.constant_(self.scale.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.squash(self.scale(self.sum(x)))  # type: ignore[no-any-return]


class Marked(nn.Module):
    """Kernels (60, 5, 5) of what a table marks <-> a convolution's weight (16, 6, 5, 5), zero elsewhere.

    Only what is marked is a parameter. The convolution itself is dense: on a processor that is ten times as
    fast as convolutions of three, four and six inputs.
    """

    slots: Tensor
    index: Tensor

    def __init__(self, table: tuple[str, ...]) -> None:
        super().__init__()
        marks = [row[j] == "X" for j in range(len(table[0])) for row in table]
        slots = [slot for slot, marked in enumerate(marks) if marked]
        index = [slots.index(slot) if marked else len(slots) for slot, marked in enumerate(marks)]
        self.inputs, self.links = len(table), len(slots)
        self.register_buffer("slots", torch.tensor(slots), persistent=False)
        self.register_buffer("index", torch.tensor(index), persistent=False)

    def forward(self, kernels: Tensor) -> Tensor:
        with_none = torch.cat([kernels, torch.zeros_like(kernels[:1])])
        return with_none.index_select(0, self.index).view(-1, self.inputs, *kernels.shape[1:])

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight.flatten(0, 1).index_select(0, self.slots)


class Connected(nn.Module):
    """C3: 16 maps, 5x5 kernels over those maps of S2 that Table I marks: 1,516 parameters, not one more."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(len(TABLE_1), len(TABLE_1[0]), 5)
        register_parametrization(self.conv, "weight", Marked(TABLE_1))

    def begin(self, generator: torch.Generator) -> None:
        """Glorot's uniform weights, each map by the connections that it has."""
        inputs = torch.tensor([sum(row[j] == "X" for row in TABLE_1) for j in range(len(TABLE_1[0]))])
        kernel = 25
        fan_out = kernel * inputs.sum() / len(TABLE_1)
        bound = (6 / (kernel * inputs + fan_out)).sqrt().view(-1, 1, 1, 1)
        with torch.no_grad():
            self.conv.weight = bound * torch.empty(self.conv.weight.shape).uniform_(
                -1, 1, generator=generator
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class RadialBasis(nn.Module):
    """Equation 7: the squared distance of F6 from the fixed code of each class; cooled and negative, a
    logit.
    """

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None] - self.codes).square().sum(2) / -TEMPERATURE


def lenet5(*, shape: Shape = (1, 32, 32), classes: int = 10, stem: Stem = "paper") -> Network:
    """As printed: C3 connected by Table I, trainable subsampling, radial basis functions on bitmaps."""
    features = _framed(shape, stem) | {
        "c1": _squashed(nn.Conv2d(shape[0], 6, 5)),
        "s2": Subsample(6),
        "c3": nn.Sequential(OrderedDict(maps=Connected(), squash=Squash())),
        "s4": Subsample(16),
        "c5": _squashed(nn.Conv2d(16, 120, 5)),
    }
    head = OrderedDict(
        flatten=nn.Flatten(),
        f6=nn.Sequential(
            OrderedDict(dense=nn.Linear(math.prod(out_shape(features, shape)), CODE_LENGTH), squash=Squash())
        ),
        output=RadialBasis(codes(classes)),
    )
    return Network(features, nn.Sequential(head))


def lenet5_relu(*, shape: Shape = (1, 32, 32), classes: int = 10, stem: Stem = "paper") -> Network:
    """As taught: C3 connected in full, max-pooling, ReLU, and a linear output."""
    features = _framed(shape, stem) | {
        "c1": nn.Sequential(OrderedDict(conv=nn.Conv2d(shape[0], 6, 5), relu=nn.ReLU())),
        "s2": nn.MaxPool2d(2),
        "c3": nn.Sequential(OrderedDict(conv=nn.Conv2d(6, 16, 5), relu=nn.ReLU())),
        "s4": nn.MaxPool2d(2),
    }
    head = OrderedDict(
        flatten=nn.Flatten(),
        c5=dense(math.prod(out_shape(features, shape)), 120),
        f6=dense(120, CODE_LENGTH),
        output=nn.Linear(CODE_LENGTH, classes),
    )
    return Network(features, nn.Sequential(head))


def codes(classes: int) -> Tensor:
    """(classes, 84) of +1 and -1: the bitmaps of Figure 3 for ten classes, else fixed random signs."""
    if classes == len(FIGURE_3):
        pixels = ["".join(rows.split()) for rows in FIGURE_3]
        return torch.tensor([[1.0 if c == "#" else -1.0 for c in row] for row in pixels])
    signs = torch.randint(
        2, (classes, CODE_LENGTH), generator=torch.Generator("cpu").manual_seed(1998), device="cpu"
    )
    return (2.0 * signs - 1).to(torch.get_default_device())


def _framed(shape: Shape, stem: Stem) -> dict[str, nn.Module]:
    """The 'small' stem: a frame of zeros that makes 32x32 of 28x28; none around larger pictures."""
    amount = [max((FIELD - n + 1) // 2, 0) for n in shape[1:]]
    return {"frame": Pad(amount)} if stem == "small" and any(amount) else {}


def _squashed(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, squash=Squash()))


ARCHITECTURES = (
    Architecture(
        name="lenet5",
        title="Gradient-Based Learning Applied to Document Recognition",
        authors="LeCun, Bottou, Bengio, Haffner",
        year=1998,
        url="http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf",
        build=lenet5,
        shape=(1, 32, 32),
        classes=10,
        parameters=60_000,
        macs=327_256,  # 60 of the 96 links of C3 (Table I), though it is computed as a dense convolution
        smallest=32,
        depth=7,
        init="glorot",
        differs=(
            "trained by cross-entropy on minus a tenth of the distances, where the paper has its equation 9; "
            "Glorot's weights, where the paper draws uniformly within 2.4 / fan-in; the coefficients of "
            "subsampling begin at 1/2; with other than 10 classes the codes of the output are random signs "
            "instead of bitmaps. Stem 'small' frames smaller pictures with zeros to 32x32"
        ),
        stems=("paper", "small"),
    ),
    Architecture(
        name="lenet5-relu",
        title="Gradient-Based Learning Applied to Document Recognition",
        authors="LeCun, Bottou, Bengio, Haffner",
        year=1998,
        url="http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf",
        build=lenet5_relu,
        shape=(1, 32, 32),
        classes=10,
        parameters=61_706,
        macs=416_520,
        smallest=16,
        depth=5,
        init="he",
        differs=(
            "the copy that is taught today: C3 sees all maps of S2, max-pooling without parameters, ReLU, "
            "C5 a dense layer, a linear output. Stem 'small' frames smaller pictures with zeros to 32x32"
        ),
        stems=("paper", "small"),
    ),
)
