"""What people posted of networks that cannot be, each made small: network, input and accepted answer.

`questions.py` asks them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GITHUB = "https://github.com/"

Entries = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """`network` makes a module, or is a layer list; `shape` is its input, the channels last (as `summary`
    takes it). `answer` matches a cure that says what the thread's accepted answer says. `seen` is the thread.
    """

    what: str
    network: Callable[[], nn.Module] | Entries
    shape: tuple[int, ...]
    answer: str
    seen: str = ""
    classes: tuple[str, ...] = ()


def block(width: int, out: int, kernel: int = 3, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(width, out, kernel, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def vgg(widths: tuple[int, ...], channels: int = 3) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += block(channels, width)
        channels = width
    return layers


class Viewed(nn.Module):
    """The tutorial's network, with a view of a fixed width."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(channels, 6, 5), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 120), nn.Linear(120, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv2(self.pool(F.relu(self.conv1(x))))))
        return self.fc2(F.relu(self.fc1(x.view(-1, 400))))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Down `depth` times by pooling, up again, a join or a sum with the maps on the way down."""

    def __init__(self, depth: int, how: str = "join", up: str = "upsample") -> None:
        super().__init__()
        self.how = how
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(depth))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(4, 4, 2, 2) if up == "transposed" else nn.Upsample(scale_factor=2)
            for _ in range(depth)
        )
        self.after = nn.ModuleList(
            nn.Conv2d(8 if how == "join" else 4, 4, 3, padding=1) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        kept = []
        for conv in self.down:
            kept.append(x)
            x = conv(F.max_pool2d(x, 2))
        for up, after in zip(self.up, self.after, strict=True):
            x, skip = up(x), kept.pop()
            x = after(torch.cat([skip, x], 1) if self.how == "join" else skip + x)
        return x


class Block(nn.Module):
    """A residual block whose shortcut does nothing."""

    def __init__(self, width: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1)
        self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.downsample(x))


class Functional(nn.Module):
    """A convolution and a dense layer, without a flatten between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.out = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.out(F.max_pool2d(F.relu(self.conv2(x)), 2))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(28, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


def training(network: nn.Module) -> nn.Module:
    return network.train()


def conv(filters: int, kernel: int | list[int] = 3, **more: Any) -> dict[str, Any]:
    return {"kind": "conv", "filters": filters, "kernel": kernel, "activation": "relu", **more}


POOL: dict[str, Any] = {"kind": "maxpool", "size": 2}
HEAD: Entries = [{"kind": "flatten"}, {"kind": "dense", "units": "classes", "activation": "softmax"}]
FIRST = r"an input of \d+x\d+x\d+, the channels last|channels last"

QUESTIONS = (
    # a dense layer of another width
    Question("a dense layer of another width, MNIST",
             lambda: chain(*block(1, 16, 5, 2), *block(16, 32, 5, 2), nn.Flatten(), nn.Linear(1050, 10)),
             (28, 28, 1), r"nn\.Linear\(1568, 10\)",
             "https://androidkt.com/fix-runtimeerror-mat1-and-mat2-shapes-cannot-be-multiplied/"),
    Question("where does the number 936144 come from",
             lambda: chain(*block(3, 8, 5, 0), *block(8, 16, 5, 0), nn.Flatten(), nn.Linear(400, 3)),
             (1200, 800, 3), r"nn\.Linear\(936144, 3\)", "https://stackoverflow.com/questions/53784998"),
    Question("shape '[-1, 400]' is invalid for input of size 384", Viewed, (21, 21, 3),
             r"flatten\(1\).*nn\.Linear\(64, 120\)|side 32 ", GITHUB + "pytorch/pytorch/issues/38469"),
    Question("hidden units without the 7x7", lambda: chain(*block(1, 10), *block(10, 10),
             nn.Flatten(), nn.Linear(10, 10)),
             (28, 28, 1), r"nn\.Linear\(490, 10\)", GITHUB + "mrdbourke/pytorch-deep-learning/issues/763"),
    Question("VGG for 32 pixels given MNIST's 28",
             lambda: chain(*vgg((8, 16, 32, 512), 1), nn.Flatten(), nn.Linear(2048, 64)), (28, 28, 1),
             r"nn\.Linear\(512, 64\)|side 32 ",
             GITHUB + "securefederatedai/openfederatedlearning/issues/226"),
    Question("CIFAR's width for ImageNet's data", lambda: chain(
                 nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 256, 3, 2, 1),
             nn.Flatten(), nn.Linear(12544, 64)),
             (32, 32, 3), r"nn\.Linear\(16384, 64\)", GITHUB + "JonasGeiping/breaching/pull/33"),
    Question("VGG19's classifier without a flatten (3584x7 and 25088x4096)",
             lambda: chain(*vgg((64, 128, 256, 512, 512)), nn.AdaptiveAvgPool2d(7), nn.Linear(25088, 4096)),
             (400, 444, 3), r"nn\.Flatten\(\) before",
             GITHUB + "udacity/deep-learning-v2-pytorch/issues/396"),
    Question("VGG16 at 512 pixels (131072 and 25088x4096)",
             lambda: chain(*vgg((64, 128, 256, 512, 512)), nn.Flatten(), nn.Linear(25088, 4096)),
             (512, 512, 3),
             r"side 224 |AdaptiveAvgPool2d\(7\)|nn\.Linear\(131072, 4096\)",
             GITHUB + "open-mmlab/mmpretrain/issues/867"),
    Question("another size of training pictures (8192 and 512x10)", lambda: chain(
                 nn.Conv2d(3, 64, 4, 4), nn.ReLU(), nn.Conv2d(64, 512, 4, 4),
             nn.Flatten(), nn.Linear(512, 10)),
             (64, 64, 3), r"nn\.Linear\(8192, 10\)|AdaptiveAvgPool2d\(1\)",
             GITHUB + "dzld00/pytorch-manifold-matching/issues/7"),
    Question("no flatten before the last layer (1152)", lambda: Functional(128), (24, 24, 1),
             r"nn\.Flatten\(\) and nn\.Linear\(1152, 4\)",
             "https://e-com-net.com/article/1594927416860581888.htm"),
    Question("features of a table, one count too few",
             lambda: chain(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2)),
             (12,), r"nn\.Linear\(12, 16\)",
             "https://scientyficworld.org/fix-hidden-layer-shape-mismatches-in-pytorch/"),
    Question("a new head for ResNet-18 on ResNet-50",
             lambda: chain(nn.Conv2d(3, 2048, 7, 4), nn.AdaptiveAvgPool2d(1),
             nn.Flatten(), nn.Linear(512, 10)),
             (64, 64, 3), r"nn\.Linear\(2048, 10\)"),
    Question("a flatten is missing and the width is right",
             lambda: chain(nn.Conv2d(3, 8, 3), nn.Linear(7200, 10)),
             (32, 32, 3), r"nn\.Flatten\(\) before"),
    # channels
    Question("a grey picture for three channels", lambda: chain(nn.Conv2d(3, 16, 3), nn.ReLU()), (32, 32, 1),
             r"in_channels=1|x\.expand",
             "https://errorcanon.top/errors/pytorch/conv2d-channels-mismatch/index.md"),
    Question("a colour picture for one channel", lambda: chain(nn.Conv2d(1, 32, 3), nn.ReLU()), (224, 224, 3),
             r"in_channels=3", "https://taourl.com/read-2182898.html"),
    Question("colours, where grey is asked for", lambda: chain(nn.Conv2d(1, 16, 5), nn.MaxPool2d(2)),
             (256, 256, 3),
             r"in_channels=3|x\.mean", "https://duoke360.com/post/34762"),
    Question("colours of a small board", lambda: chain(nn.Conv2d(1, 32, 3), nn.ReLU()), (6, 7, 3),
             r"in_channels=3",
             "https://duoke360.com/post/34763"),
    Question("the second convolution has another width", lambda: chain(nn.Conv2d(1, 32, 3),
             nn.Conv2d(64, 64, 3)),
             (28, 28, 1), r"in_channels=32", "https://www.iiask.com/34l58747.html"),
    Question("a picture with its channels last", lambda: chain(nn.Conv2d(3, 64, 7, 2), nn.ReLU()),
             (224, 3, 224),
             r"permute"),
    Question("a signal with its channels last", lambda: chain(nn.Conv1d(9, 64, 3), nn.ReLU()), (9, 128),
             r"permute|transpose"),
    Question("no channel axis", lambda: chain(nn.Conv2d(1, 16, 7), nn.ReLU()), (28, 28),
             r"unsqueeze\(1\)|28x28x1", GITHUB + "surrogate-gradient-learning/pytorch-lif-autograd/issues/1"),
    Question("a flat row into a convolution", lambda: chain(nn.Conv2d(1, 64, 11), nn.ReLU()), (784,),
             r"Unflatten\(1, \(1, 28, 28\)\)", GITHUB + "rahafaljundi/MAS-Memory-Aware-Synapses/issues/7"),
    # normalisation
    Question("a normalisation of another width",
             lambda: chain(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(32), nn.ReLU()), (32, 32, 3),
             r"BatchNorm2d\(64\)", "https://heytensor.com/answers/batch-norm-input-shape.html"),
    Question("BatchNorm2d after a flatten",
             lambda: chain(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm2d(8)), (2, 2, 3),
             r"BatchNorm1d\(8\)"),
    Question("one picture and one pixel per channel", lambda: training(chain(
                 nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 192, 1), nn.BatchNorm2d(192))), (32, 32, 3),
             r"batch of 2|evaluation", GITHUB + "huaifeng1993/DFANet/issues/9"),
    Question("a flat normalisation and a batch of one", lambda: training(chain(
                 nn.Flatten(), nn.Linear(12, 512), nn.BatchNorm1d(512))), (2, 2, 3), r"batch of 2|evaluation",
             GITHUB + "kbressem/faimed3d/issues/68"),
    Question("LayerNorm of the channels, which stand first",
             lambda: chain(nn.Conv2d(3, 96, 4, 4), nn.LayerNorm(96)), (32, 32, 3),
             r"GroupNorm\(1, 96\)|permute"),
    # maps that meet
    Question("a U-net and an odd size", lambda: UNet(4), (222, 222, 3), r"side 16, 32, ",
             GITHUB + "ptrblck/pytorch_misc/issues/2"),
    Question("a U-net with five poolings, 350x525", lambda: UNet(5), (350, 525, 3), r"side 32, 64, ",
             GITHUB + "qubvel-org/segmentation_models.pytorch/issues/57"),
    Question("a U-net with four poolings, 700x700", lambda: UNet(4, up="transposed"), (700, 700, 3),
             r"side 16, 32, ",
             GITHUB + "bigmb/Unet-Segmentation-Pytorch-Nest-of-Unets/issues/52"),
    Question("a U-net with five poolings, 760x540", lambda: UNet(5), (540, 760, 3), r"side 32, 64, ",
             GITHUB + "lbktrinh/UNet_scAG/issues/1"),
    Question("a U-net of sums, 511 pixels", lambda: UNet(3, "sum"), (511, 511, 3), r"side 8, 16, ",
             GITHUB + "fepegar/unet/issues/29"),
    Question("an FCN's sums, 206x293", lambda: UNet(5, "sum", "transposed"), (206, 293, 3),
             r"side 32, 64, ",
             GITHUB + "ljanyst/image-segmentation-fcn/issues/5"),
    Question("a shortcut of another width", lambda: chain(Block(8, 16)), (8, 8, 8), r"nn\.Conv2d\(8, 16, 1"),
    Question("a shortcut at another stride", lambda: chain(Block(8, 16, 2)), (8, 8, 8),
             r"nn\.Conv2d\(8, 16, 1, stride=2\)"),
    # windows that do not fit
    Question("a discriminator and a small picture", lambda: chain(
                 *[nn.Conv2d(3, 3, 4, 2, 1) for _ in range(4)], nn.Conv2d(3, 1, 4)), (49, 74, 3),
             r"side 64 or more",
             GITHUB + "XPixelGroup/BasicSR/issues/249"),
    Question("an encoder without paddings",
             lambda: chain(*[m for _ in range(4) for m in (nn.Conv2d(1, 1, 3), nn.MaxPool2d(2))]),
             (28, 28, 1), r"padding=1", GITHUB + "melissa135/Convolutional_AutoEncoder/issues/3"),
    Question("a signal shorter than the window", lambda: chain(nn.Conv1d(4, 8, 3), nn.ReLU()), (2, 4),
             r"3 or more|padding=1",
             GITHUB + "ZiqiaoPeng/SyncTalk/issues/151"),
    Question("a mirrored border wider than the picture", lambda: chain(nn.ReflectionPad2d(9),
             nn.Conv2d(4, 4, 3)), (8, 12, 4),
             r"10 or more|drop", GITHUB + "pytorch/pytorch/issues/115532"),
    # Keras' networks, as layer lists
    Question("channels first in Keras, MNIST", [conv(32), conv(32), POOL, *HEAD], (1, 28, 28), FIRST,
             GITHUB + "keras-team/keras/issues/7611"),
    Question("channels first in Keras, 24 pixels", [conv(32, padding="same"), conv(24), POOL, *HEAD],
             (1, 24, 24), FIRST,
             GITHUB + "AnirudhGP/DrowsyDriverDetection/issues/3"),
    Question("channels first in Keras, a window of 16", [conv(96, 16, stride=6), POOL, *HEAD],
             (1, 200, 300), FIRST,
             GITHUB + "bapalto/birdsong-keras/issues/3"),
    Question("channels first in Keras, four channels", [conv(64, 7), POOL, *HEAD], (4, 33, 33), FIRST,
             GITHUB + "naldeborgh7575/brain_segmentation/issues/24"),
    Question("a pooling of one pixel", [conv(32), POOL, conv(32), POOL, conv(32), POOL, POOL, *HEAD],
             (28, 28, 1),
             r'"same"|global max', "https://www.iiask.com/34l56514.html"),
    Question("one convolution too many", [conv(4), conv(4), conv(2), conv(4), *HEAD],
             (7, 9, 1), r'pad .*"same"',
             "https://stackoverflow.com/questions/70781692"),
    Question("a small sheet and two poolings", [conv(64), POOL, conv(32, 4), POOL, *HEAD],
             (18, 2, 1), r'"same"|input of',
             GITHUB + "keras-team/keras/issues/10641"),
    Question("groups that do not divide the channels", [conv(69), conv(64, groups=4), *HEAD], (16, 16, 3),
             r"[13] groups? in conv2", GITHUB + "iduta/pyconv/issues/6"),
    # the last layer, and layers with memory
    Question("as many units as there are not classes", [conv(4), {"kind": "flatten"},
             {"kind": "dense", "units": 5}],
             (16, 16, 3), r'"units": "classes"', classes=tuple("abcdefghij")),
    Question("an LSTM over 28 numbers gets one", Recurrent, (1, 28), r"nn\.LSTM\(1|input_size=1\b"),
)  # fmt: skip
