"""Published weights: torchvision's names and shapes, strict loading, manners, releases, downloads."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from neocog.downloads import hub
from neocog.downloads.mirror import Wanted
from neocog.errors import NetworkNeeded, UnreadableError, UsageError
from neocog.model import load as load_model
from neocog.model import open_trained
from neocog.pretrained import weights
from neocog.pretrained.pytorch import names as torch_names
from neocog.pretrained.releases import RELEASES, imagenet_classes, preprocess
from neocog.verbs.predict import predict
from neocog.verbs.weights import Listing, Weights
from neocog.verbs.weights import weights as verb
from neocog.zoo import ZOO, Manner, Model, build

TENSORS = {  # parameters and running statistics in torchvision's state dicts, auxiliary heads left out
    "alexnet-owt": 16,
    "vgg11": 22,
    "vgg16": 32,
    "vgg19": 38,
    "inception_v3": 284 + 188,
    "resnet18": 62 + 40,
    "resnet34": 110 + 72,
    "resnet50": 161 + 106,
    "resnet101": 314 + 208,
    "resnet152": 467 + 310,
    "densenet121": 364 + 242,
    "densenet201": 604 + 402,
    "mobilenet_v2": 158 + 104,
}
KEYS = {  # a few of torchvision's names with their shapes, from its files
    "alexnet-owt": {
        "features.0.weight": (64, 3, 11, 11),
        "features.10.bias": (256,),
        "classifier.1.weight": (4096, 9216),
    },
    "vgg16": {
        "features.28.weight": (512, 512, 3, 3),
        "classifier.0.weight": (4096, 25088),
        "classifier.6.bias": (1000,),
    },
    "vgg16-bn": {"features.40.weight": (512, 512, 3, 3), "features.41.running_var": (512,)},
    "inception_v3": {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch_pool.conv.weight": (64, 288, 1, 1),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6b.branch7x7dbl_2.conv.weight": (128, 128, 7, 1),
        "Mixed_7a.branch7x7x3_4.bn.weight": (192,),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "fc.weight": (1000, 2048),
    },
    "resnet18": {
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer4.1.bn2.running_mean": (512,),
        "fc.bias": (1000,),
    },
    "resnet50": {"layer1.0.downsample.1.weight": (256,), "layer3.5.conv3.weight": (1024, 256, 1, 1)},
    "densenet121": {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3),
        "features.transition1.conv.weight": (128, 256, 1, 1),
        "features.norm5.weight": (1024,),
    },
    "mobilenet_v2": {
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.2.conv.1.0.weight": (96, 1, 3, 3),
        "features.17.conv.3.running_var": (320,),
        "features.18.0.weight": (1280, 320, 1, 1),
    },
}


def torchvision_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a state dict under torchvision's names, through the table."""
    with torch.device("meta"):
        network = build(Model(name=name, stem="paper"), shape=ZOO[name].shape, classes=1000)
    names = torch_names.torchvision(name, network)
    assert len(set(names.values())) == len(names)
    back = {ours: theirs for theirs, ours in names.items()}
    found = {}
    for key, tensor in network.state_dict().items():
        if key.startswith("aux.") or key.endswith("num_batches_tracked"):
            continue
        module, _, kind = key.rpartition(".")
        found[f"{back[module]}.{kind}"] = tuple(tensor.shape)
    return found


@pytest.mark.parametrize("name", sorted({*TENSORS, *KEYS}))
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    found = torchvision_shapes(name)
    assert len(found) == TENSORS.get(name, len(found))
    for key, shape in KEYS.get(name, {}).items():
        assert found[key] == shape, key


def random_weights(
    name: str, *, classes: int = 1000, seed: int = 0
) -> tuple[torch.nn.Module, dict[str, Tensor]]:
    """A network of ours with lively statistics, and its state dict under torchvision's names."""
    torch.manual_seed(seed)
    network = build(Model(name=name, stem="paper"), shape=ZOO[name].shape, classes=classes).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    back = {ours: theirs for theirs, ours in torch_names.torchvision(name, network).items()}
    state = {}
    for key, tensor in network.state_dict().items():
        module, _, kind = key.rpartition(".")
        state[f"{back[module]}.{kind}"] = tensor.clone()
    return network, state


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, dict[str, Tensor], Path]:
    network, state = random_weights("mobilenet_v2", classes=7)
    file = tmp_path_factory.mktemp("weights") / "m.safetensors"
    save_file(state, file)
    return network, state, file


def test_a_state_dict_gives_the_same_logits_whatever_wraps_it(mobilenet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    network, state, file = mobilenet
    torch.save(state, tmp_path / "m.pth")
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "wrapped.pt"
    )
    torch.save({"net": state, "acc": 92.6, "optimizer": {"lr": 0.1}}, tmp_path / "net.pth")
    torch.save({"ema": {"a": torch.zeros(1)}, "net": state}, tmp_path / "two.pth")
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = network(x)
        for path in (file, tmp_path / "m.pth", tmp_path / "wrapped.pt", tmp_path / "net.pth"):
            found = weights.load("mobilenet_v2", path)
            assert found.classes == tuple(f"class {n}" for n in range(7))
            assert torch.allclose(found.network(x), expected, atol=1e-6)
            assert weights.identify(path) == "mobilenet_v2"
            assert found.provenance["assumed"] == "preprocessing: as in torchvision's releases"
    with pytest.raises(UnreadableError, match="holds no state dict"):  # which of the two is not said
        weights.identify(tmp_path / "two.pth")


def test_what_does_not_fit_is_named_three_at_most(mobilenet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, state, _ = mobilenet
    broken = {k: v for k, v in state.items() if not k.startswith("features.4.")}
    broken["features.0.0.weight"] = torch.zeros(32, 3, 5, 5)
    broken["extra.weight"] = torch.zeros(1)
    save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(UnreadableError) as caught:
        weights.load("mobilenet_v2", tmp_path / "broken.safetensors")
    line = str(caught.value)
    assert "\n" not in line
    assert "15 missing: features.bottleneck4.body.expand.conv.weight, " in line
    assert "1 unexpected: extra.weight" in line
    assert "features.conv1.conv.weight 32x3x5x5 for 32x3x3x3" in line
    assert line.count("bottleneck4") == 3


def test_weights_of_another_network_and_broken_files(mobilenet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, state, file = mobilenet
    with pytest.raises(UnreadableError, match="no weights of resnet18: its tensors are called"):
        weights.load("resnet18", file)
    save_file(state, tmp_path / "named.safetensors", metadata={"architecture": "vgg16"})
    with pytest.raises(UnreadableError, match="weights of vgg16, not of mobilenet_v2"):
        weights.load("mobilenet_v2", tmp_path / "named.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-100])
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 nothing")
    for name in ("cut.safetensors", "cut.pth"):
        with pytest.raises(UnreadableError, match="cut off"):
            weights.load("mobilenet_v2", tmp_path / name)
    state = dict(state) | {"features.0.1.bias": torch.full((32,), float("nan"))}
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(UnreadableError, match=r"not finite, in features\.conv1\.norm\.bias"):
        weights.load("mobilenet_v2", tmp_path / "nan.safetensors")
    with pytest.raises(UnreadableError, match="there is no weights file"):
        weights.load("mobilenet_v2", tmp_path / "nothing.pth")


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_a_pickle_that_would_run_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bomb.pt").write_bytes(pickle.dumps({"state_dict": _Bomb()}))
    torch.save({"a": _Bomb()}, "zipped.pt")
    for name in ("bomb.pt", "zipped.pt"):
        with pytest.raises(UnreadableError, match="no file of tensors alone"):
            weights.load("resnet18", name)
    assert not Path("exploded").exists()


def test_metadata_decide_padding_classes_and_preprocessing(mobilenet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, state, _ = mobilenet
    names = [f"c{n}" for n in range(7)]
    metadata = {
        "architecture": "mobilenet_v2",
        "padding": "tensorflow",
        "mean": "0.1,0.2,0.3",
        "std": "0.4,0.5,0.6",
        "resize": "256",
        "crop": "192",
        "classes": json.dumps(names),
        "license": "CC0",
        "source": "here",
    }
    file = tmp_path / "m.safetensors"
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in state.items()}, file, metadata=metadata
    )
    found = weights.load("mobilenet_v2", file)
    assert found.model.manner == Manner(padding="same")
    assert found.classes == tuple(names)
    assert found.shape == (3, 192, 192)
    prep = found.preprocess
    assert (prep.mean, prep.std, prep.size, prep.fit) == (
        (0.1, 0.2, 0.3),
        (0.4, 0.5, 0.6),
        (192, 192),
        "crop",
    )
    assert prep.crop_share == 0.75
    assert (found.provenance["licence"], found.provenance["source"]) == ("CC0", "here")
    assert "assumed" not in found.provenance
    assert all(p.dtype == torch.float32 for p in found.network.parameters())
    # an odd size pads alike on both sides in TensorFlow too; an even one does not
    with torch.inference_mode():
        plain = weights.load("mobilenet_v2", _without(file, "padding", tmp_path))
        odd, even = torch.randn(1, 3, 33, 33), torch.randn(1, 3, 32, 32)
        assert not torch.allclose(found.network(even), plain.network(even), atol=1e-4)
        first, other = found.network.features.conv1, plain.network.features.conv1
        assert torch.allclose(first(odd), other(odd), atol=1e-5)


def _without(file: Path, key: str, folder: Path) -> Path:
    from safetensors import safe_open

    with safe_open(str(file), "pt") as held:
        metadata = {k: v for k, v in held.metadata().items() if k != key}
        tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
    save_file(tensors, folder / f"without-{key}.safetensors", metadata=metadata)
    return folder / f"without-{key}.safetensors"


def test_a_converted_file_is_a_model_file_with_its_manner(mobilenet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, state, _ = mobilenet
    file = tmp_path / "m.safetensors"
    save_file(state, file, metadata={"padding": "tensorflow", "architecture": "mobilenet_v2"})
    result = verb(file=file)
    assert isinstance(result, Weights)
    assert "padding same" in result.text()
    result.save(tmp_path / "ours.safetensors")
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        again = load_model(tmp_path / "ours.safetensors")
        assert torch.allclose(again.network(x), result.trained.network(x), atol=1e-6)
    assert again.model.manner == Manner(padding="same")


def test_part_of_a_network_ends_after_its_last_stage(tmp_path: Path) -> None:
    torch.manual_seed(0)
    part = {"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.randn(64)}
    norm = {
        "weight": torch.rand(64),
        "bias": torch.rand(64),
        "running_mean": torch.rand(64),
        "running_var": torch.rand(64) + 1,
    }
    save_file(part, tmp_path / "plain.safetensors", metadata={"part": "features.0"})
    save_file(
        part | {f"features.1.{k}": v for k, v in norm.items()},
        tmp_path / "bn.safetensors",
        metadata={"part": "0"},
    )
    save_file(part, tmp_path / "undeclared.safetensors")
    x = torch.randn(2, 3, 40, 40)
    expected = F.conv2d(x, part["features.0.weight"], part["features.0.bias"], padding=1)
    normed = F.batch_norm(expected, norm["running_mean"], norm["running_var"], norm["weight"], norm["bias"])
    with torch.inference_mode():
        found = weights.load("vgg11", tmp_path / "plain.safetensors")
        assert found.classes == ()
        assert found.model.manner == Manner(until="conv1_1")
        assert torch.allclose(found.network.features(x), expected.relu(), atol=1e-5)
        assert torch.allclose(found.network(x), expected.relu().mean((2, 3)), atol=1e-5)
        # torchvision's VGGs have a bias before the normalisation; ours fold it into the mean
        found = weights.load("vgg11-bn", tmp_path / "bn.safetensors")
        assert torch.allclose(found.network.features(x), normed.relu(), atol=1e-5)
    with pytest.raises(UnreadableError, match="missing"):
        weights.load("vgg11", tmp_path / "undeclared.safetensors")


@pytest.mark.parametrize(
    ("name", "manner"),
    [
        ("resnet18", Manner(padding="same")),
        ("resnet18", Manner(eps=1e-3)),
        ("mobilenet_v2", Manner(padding="same")),
        ("mobilenet_v2", Manner(eps=1e-3)),
        ("inception_v3", Manner(means="counted")),
    ],
)
def test_each_manner_changes_what_it_says(name: str, manner: Manner) -> None:
    shape = (3, 96, 96)
    torch.manual_seed(0)
    plain = build(Model(name=name, stem="paper"), shape=shape, classes=3).eval()
    changed = build(Model(name=name, stem="paper", manner=manner), shape=shape, classes=3).eval()
    changed.load_state_dict({k: v for k, v in plain.state_dict().items() if not k.startswith("aux.")})
    x = torch.randn(1, *shape)
    with torch.inference_mode():
        here, there = plain.features(x), changed.features(x)
    assert (here - there).abs().max() > 1e-4 * here.abs().max()
    again = Model.model_validate(Model(name=name, manner=manner).json())
    assert again.manner == manner


def test_releases_are_of_the_zoo_and_known_by_their_digits() -> None:
    assert len(imagenet_classes()) == len(set(imagenet_classes())) == 1000
    assert (imagenet_classes()[285], imagenet_classes()[820]) == ("Egyptian cat", "steam locomotive")
    for name, releases in RELEASES.items():
        assert name in ZOO
        assert len({r.label for r in releases}) == len(releases)
        for r in releases:
            assert r.url.startswith("https://")
            assert len(r.digits) == {"md5": 32, "sha256 prefix": 8, "sha256": 64}[r.by]
            assert r.by == "md5" or f"-{r.digits[:8]}.pth" in r.file
            assert 0.5 < r.top1 < (r.top5 or 1) <= 1
            assert (r.wheel is None) == (r.member is None) == (r.top5 is not None)
            assert r.licence
    listing = verb()
    assert isinstance(listing, Listing)
    assert "CC BY 4.0" in listing.text()


def test_preprocessing_is_that_of_the_source() -> None:
    pixel = torch.tensor([255, 128, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    caffe = preprocess("keras", "vgg16", size=(224, 224)).normalise(pixel).flatten()
    np.testing.assert_allclose(caffe, [0 - 103.939, 128 - 116.779, 255 - 123.68], atol=1e-4)  # blue first
    ones = preprocess("keras", "xception", size=(299, 299)).normalise(pixel).flatten()
    np.testing.assert_allclose(ones, [1, 128 / 127.5 - 1, -1], atol=1e-5)
    torchs = preprocess("torchvision", "resnet18", size=(224, 224)).normalise(pixel).flatten()
    np.testing.assert_allclose(
        torchs, [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, -0.406 / 0.225], atol=1e-5
    )
    second = preprocess("torchvision", "resnet50", size=(224, 224), label="torchvision-v2")
    assert round(224 / second.crop_share) == 232


def test_offline_says_what_to_put_where(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NetworkNeeded) as caught:
        open_trained("vgg16")
    line = str(caught.value)
    assert "put vgg16-397923af.pth (sha256 prefix 397923af) in " in line
    assert "--weights FILE" in line
    assert "licence: BSD-3-Clause" in capsys.readouterr().err
    with pytest.raises(
        NetworkNeeded, match=r"put model\.safetensors of https://huggingface\.co/timm/resnet18"
    ):
        weights.load("resnet18", "hub:timm/resnet18.tv_in1k")
    with pytest.raises(UsageError, match=r"release of vgg16 'tensorflow'.*accepted: keras, torchvision"):
        weights.load("vgg16", "tensorflow")
    with pytest.raises(UsageError, match="'lenet5' has no public weights"):
        weights.load("lenet5")


@pytest.mark.parametrize(("by", "digits"), [("sha256 prefix", 8), ("md5", 32), ("sha256", 64)])
def test_a_file_is_known_by_what_its_publisher_gives(by: str, digits: int, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"weights")
    kind = "md5" if by == "md5" else "sha256"
    known = hashlib.new(kind, b"weights").hexdigest()[:digits]
    wanted = Wanted(file, known, None, 1.0, lambda done, total: None, by)  # type: ignore[arg-type]
    assert wanted.there()
    file.write_bytes(b"weighty")
    assert not wanted.there()


def test_the_hub_shows_the_licence_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    heard: list[str] = []
    client = types.ModuleType("huggingface_hub")

    def arrive(repository: str, name: str, *, local_dir: Path) -> None:
        assert heard, "the licence comes first"
        local_dir.mkdir(parents=True, exist_ok=True)
        (local_dir / name).write_text("{}")

    info = types.SimpleNamespace(card_data=types.SimpleNamespace(license="apache-2.0"))
    client.model_info = lambda repository: info  # type: ignore[attr-defined]
    client.file_exists = lambda repository, name: True  # type: ignore[attr-defined]
    client.hf_hub_download = arrive  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.setenv("NEOCOG_OFFLINE", "0")
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path))
    file = hub.fetch("timm/resnet18.tv_in1k", announce=heard.append)
    assert file.is_file()
    assert "apache-2.0" in heard[0]
    assert hub.fetch("timm/resnet18.tv_in1k", announce=heard.append) == file
    assert len(heard) == 1
    with pytest.raises(UsageError, match="hub:OWNER/NAME"):
        hub.fetch("../etc", announce=heard.append)


def test_weights_without_a_classifier_name_nothing(tmp_path: Path) -> None:
    save_file(
        {"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.zeros(64)},
        tmp_path / "p.safetensors",
        metadata={"part": "features.0", "architecture": "vgg11"},
    )
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="end before the classifier"):
        predict("vgg11", [tmp_path / "a.png"], weights=tmp_path / "p.safetensors")


def test_mobilenet_with_imagenets_weights_names_photos(tmp_path: Path) -> None:
    """P1 and P2. Most of the locomotive's photo is its passenger car, class 705: resized smoothly, that comes
    first; as Keras' load_img reads it, the locomotive does.
    """
    data = Path(os.environ.get("NEOCOG_DATA", Path(__file__).parents[2] / "shared" / "data"))
    file = data / "weights" / "mobilenet_v2-keras-imagenet.fp16.safetensors"
    if not file.is_file():
        pytest.skip(f"no ImageNet weights at {file}")
    photos = [
        data / "photos/imagenet" / name
        for name in ("n02124075_Egyptian_cat.JPEG", "cat.jpg", "n04310018_steam_locomotive.JPEG")
    ]
    answers = predict("mobilenet_v2", photos, weights=file)
    cat, other, train = answers.items
    assert (cat.top[0].index, other.top[0].index) == (285, 285)
    assert (train.top[0].index, train.top[1].index) == (820, 705)
    answers.spectrum(tmp_path / "p2.png")
    with Image.open(tmp_path / "p2.png") as plot:
        assert plot.size[0] > 600
