"""Keras' files without Keras: layouts written by hand, logits against NumPy, and our own files read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neocog.errors import UnreadableError, UsageError
from neocog.model import open_trained
from neocog.pretrained import weights
from neocog.pretrained.keras import names as keras_names
from neocog.pretrained.keras import sequential
from neocog.pretrained.keras.h5 import snake
from neocog.pretrained.keras.h5 import write as write_h5
from neocog.pretrained.keras.tensors import to_keras
from neocog.pretrained.network_files import layers_of
from neocog.zoo import ZOO, Manner, Model, build
from neocog.zoo.layer_list import build as build_layers
from neocog.zoo.layer_list import parse

h5py = pytest.importorskip("h5py")
Array = np.ndarray[Any, Any]

LAYERS = {  # Keras' layers with weights in keras.applications, by counting its sources
    "vgg16": 16,
    "vgg19": 19,
    "inception_v3": 94 + 94 + 1,
    "resnet50-keras": 53 + 53 + 1,
    "densenet121": 120 + 121 + 1,
    "xception": 2 + 4 + 34 + 40 + 1,
    "mobilenet_v2": 52 + 52 + 1,
}


@pytest.mark.parametrize("name", LAYERS)
def test_names_cover_every_tensor_of_keras_applications(name: str) -> None:
    with torch.device("meta"):
        network = build(Model(name=name, stem="paper", manner=Manner()), shape=ZOO[name].shape, classes=1000)
    names = keras_names.keras(name, network)
    assert len(names) == LAYERS[name]
    covered = {key.rpartition(".")[0] for key in network.state_dict()}
    under = set(names.values())
    assert {c for c in covered if c not in under and c.rpartition(".")[0] not in under} == set()


def test_older_names_are_todays() -> None:
    today = keras_names.tidied(
        "resnet50-keras", ["conv1", "bn_conv1", "res2a_branch1", "bn3b_branch2c", "fc1000"]
    )
    assert list(today.values()) == [
        "conv1_conv",
        "conv1_bn",
        "conv2_block1_0_conv",
        "conv3_block2_3_bn",
        "predictions",
    ]
    assert keras_names.tidied("densenet121", ["conv1/bn"]) == {"conv1/bn": "conv1_bn"}
    numbered = keras_names.tidied("xception", ["conv2d_12", "conv2d_9", "batch_normalization"])
    assert numbered == {
        "conv2d_9": "conv2d_1",
        "conv2d_12": "conv2d_2",
        "batch_normalization": "batch_normalization_1",
    }


# A small Sequential, its files by hand, and its logits in NumPy

CONFIG: dict[str, Any] = {
    "class_name": "Sequential",
    "config": {
        "name": "net",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [None, 9, 8, 3]}},
            {
                "class_name": "Conv2D",
                "config": {
                    "name": "conv2d_7",
                    "filters": 4,
                    "kernel_size": [3, 3],
                    "strides": [1, 1],
                    "padding": "valid",
                    "activation": "relu",
                    "data_format": "channels_last",
                },
            },
            {
                "class_name": "BatchNormalization",
                "config": {"name": "bn", "axis": [3], "epsilon": 0.01, "scale": False},
            },
            {
                "class_name": "MaxPooling2D",
                "config": {"name": "pool", "pool_size": [2, 2], "strides": [2, 2], "padding": "valid"},
            },
            {"class_name": "Flatten", "config": {"name": "flat"}},
            {
                "class_name": "Dense",
                "config": {
                    "name": "dense",
                    "units": 5,
                    "activation": {"class_name": "function", "config": "softmax"},
                },
            },
        ],
    },
}


@pytest.fixture
def arrays() -> dict[str, dict[str, Array]]:
    rng = np.random.default_rng(0)
    return {
        "conv2d_7": {"kernel": rng.normal(size=(3, 3, 3, 4)), "bias": rng.normal(size=4)},
        "bn": {
            "beta": rng.normal(size=4),
            "moving_mean": rng.normal(size=4),
            "moving_variance": rng.uniform(0.5, 2, 4),
        },
        "dense": {"kernel": rng.normal(size=(36, 5)), "bias": rng.normal(size=5)},
    }


def by_numpy(x: Array, w: dict[str, dict[str, Array]]) -> Array:
    """The logits for x (N, 9, 8, 3), channels last as Keras computes."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # (N, 7, 6, C, 3, 3)
    y = np.einsum("nhwcij,ijco->nhwo", windows, w["conv2d_7"]["kernel"]) + w["conv2d_7"]["bias"]
    y = np.maximum(y, 0)
    y = (y - w["bn"]["moving_mean"]) / np.sqrt(w["bn"]["moving_variance"] + 0.01) + w["bn"]["beta"]
    y = y[:, :6, :6].reshape(len(y), 3, 2, 3, 2, 4).max((2, 4))
    return y.reshape(len(y), -1) @ w["dense"]["kernel"] + w["dense"]["bias"]


def keras2_weights(file: Any, arrays: dict[str, dict[str, Array]], *, bytes_: bool) -> None:
    """The layout of Keras 2, whose older releases wrote bytes for text."""
    text = (lambda s: s.encode()) if bytes_ else str
    file.attrs["layer_names"] = [text(name) for name in ("conv2d_7", "bn", "pool", "flat", "dense")]
    for name in ("conv2d_7", "bn", "pool", "flat", "dense"):
        group = file.create_group(name)
        words = list(arrays.get(name, {}))
        group.attrs["weight_names"] = [text(f"{name}/{word}:0") for word in words]
        for word in words:
            group.create_dataset(f"{name}/{word}:0", data=arrays[name][word])


def keras3_weights(file: Any, arrays: dict[str, dict[str, Array]], *, named: bool) -> None:
    kinds = {entry["config"]["name"]: snake(entry["class_name"]) for entry in CONFIG["config"]["layers"]}
    for name, found in arrays.items():
        group = file.create_group(f"layers/{kinds[name]}/vars")
        if named:
            group.attrs["name"] = name
        for place, array in enumerate(found.values()):
            group.create_dataset(str(place), data=array)


@pytest.mark.parametrize(
    "layout", ["keras 2", "keras 2 bytes", "keras 2 whole", "keras 3", "keras 3 unnamed", "keras"]
)
def test_every_layout_gives_numpys_logits(
    layout: str, arrays: dict[str, dict[str, Array]], tmp_path: Path
) -> None:
    import zipfile

    file, net = tmp_path / "w.h5", tmp_path / "net.json"
    net.write_text(json.dumps(CONFIG))
    with h5py.File(file, "w") as h5:
        if layout == "keras 2 whole":
            h5.attrs["model_config"] = json.dumps(CONFIG)
            keras2_weights(h5.create_group("model_weights"), arrays, bytes_=False)
        elif layout.startswith("keras 2"):
            keras2_weights(h5, arrays, bytes_=layout.endswith("bytes"))
        else:
            keras3_weights(h5, arrays, named=layout != "keras 3 unnamed")
    if layout == "keras":
        with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(CONFIG))
            archive.write(file, "model.weights.h5")
        file = tmp_path / "net.keras"
    whole = layout in ("keras 2 whole", "keras")
    found = sequential.load(file, None if whole else net)
    x = np.random.default_rng(1).normal(size=(3, 9, 8, 3))
    with torch.inference_mode():
        logits = found.network(torch.from_numpy(np.moveaxis(x, -1, 1).copy()).float()).numpy()
    expected = by_numpy(x, arrays)
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()
    assert found.shape == (3, 9, 8)
    assert found.classes == 5
    if whole:
        trained = open_trained(file)
        assert len(trained.classes) == 5
        assert trained.preprocess.size == (9, 8)
    else:
        with pytest.raises(UnreadableError, match="weights without their network"):
            sequential.load(file)


NETWORKS: dict[str, tuple[tuple[int, ...], list[dict[str, Any]]]] = {
    "pictures": (
        (3, 20, 19),
        [
            {"kind": "conv", "filters": 6, "kernel": 3, "stride": 2, "padding": "same", "activation": "relu"},
            {"kind": "conv", "filters": 6, "kernel": 3, "padding": 1, "groups": 6, "bias": False},
            {"kind": "batchnorm", "eps": 0.01},
            {"kind": "tanh"},
            {"kind": "maxpool", "size": 3, "stride": 2, "padding": "same"},
            {"kind": "pad", "amount": [1, 2]},
            {"kind": "avgpool", "size": 2, "padding": 1},
            {"kind": "dropout", "rate": 0.3},
            {"kind": "flatten"},
            {"kind": "batchnorm"},
            {"kind": "relu"},
            {"kind": "dense", "units": 9, "activation": "sigmoid"},
            {"kind": "dense", "units": "classes", "activation": "softmax"},
        ],
    ),
    "pooled": (
        (1, 12, 12),
        [
            {"kind": "conv", "filters": 4, "kernel": [1, 3], "dilation": 2},
            {"kind": "globalpool", "how": "max"},
            {"kind": "dense", "units": "classes"},
        ],
    ),
    "unflattened": (
        (2, 6, 6),
        [{"kind": "avgpool", "padding": "same"}, {"kind": "dense", "units": "classes"}],
    ),
    "signals": (
        (2, 30),
        [
            {"kind": "conv", "filters": 4, "kernel": 5},
            {"kind": "maxpool"},
            {"kind": "pad", "amount": 2},
            {"kind": "dense", "units": "classes"},
        ],
    ),
    "volumes": (
        (1, 6, 7, 8),
        [{"kind": "conv", "filters": 3, "kernel": 3}, {"kind": "dense", "units": "classes"}],
    ),
}


def lively(name: str) -> sequential.Sequential:
    shape, document = NETWORKS[name]
    torch.manual_seed(0)
    layers = parse(document)
    network = build_layers(layers, shape=shape, classes=4).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return sequential.Sequential(layers, shape, network)


@pytest.mark.parametrize("ending", ["h5", "keras", "weights.h5"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_we_write_we_read_with_the_same_logits(name: str, ending: str, tmp_path: Path) -> None:
    mine = lively(name)
    sequential.save(tmp_path / f"net.{ending}", mine)
    sequential.save(tmp_path / "net.json", mine)
    json_ = tmp_path / "net.json" if ending == "weights.h5" else None
    again = sequential.load(tmp_path / f"net.{ending}", json_)
    x = torch.randn(2, *mine.shape)
    with torch.inference_mode():
        assert torch.allclose(again.network(x), mine.network(x), atol=1e-6)
    sequential.save(tmp_path / "again.json", again)
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(
        (tmp_path / "net.json").read_text()
    )


def test_a_flattened_picture_is_written_in_keras_order(tmp_path: Path) -> None:
    """Row r of Keras' kernel belongs to (row, column, channel) = the place of r in (6, 6, 2)."""
    mine = lively("unflattened")
    sequential.save(tmp_path / "net.h5", mine)
    with h5py.File(tmp_path / "net.h5") as file:
        kernel = np.asarray(file["model_weights/dense1/dense1/kernel:0"])
    weight = mine.network.head.dense1.weight.detach().numpy().reshape(4, 2, 3, 3)
    for channel, row, column in ((0, 0, 0), (1, 2, 0), (0, 1, 2)):
        np.testing.assert_array_equal(
            kernel[(row * 3 + column) * 2 + channel], weight[:, channel, row, column]
        )


def _layer(kind: str, **config: Any) -> dict[str, Any]:
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, 8, 8, 3]}}
    return {
        "class_name": "Sequential",
        "config": {"layers": [first, {"class_name": kind, "config": {"name": "x", **config}}]},
    }


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (_layer("LSTM", units=3), "layer 2 is a LSTM, which cannot be read .accepted: InputLayer, Conv1D"),
        (_layer("Conv2D", filters=1, kernel_size=3, activation="gelu"), "activation gelu"),
        (_layer("Conv2D", filters=1, kernel_size=3, data_format="channels_first"), "channels first"),
        (_layer("Dense", units=3), "put a Flatten before it"),
        (_layer("ZeroPadding2D", padding=[[0, 1], [0, 1]]), "more on one side"),
        (_layer("ReLU", max_value=6.0), "bent ReLU"),
        (_layer("BatchNormalization", axis=1), "normalises along axis 1"),
        (_layer("Conv2D", kernel_size=3), "lacks 'filters'"),
        ({"class_name": "Functional", "config": {}}, "is a Functional of Keras without a list of layers"),
        ({"class_name": "Sequential", "config": {"layers": []}}, "does not say the size of its input"),
    ],
)
def test_what_cannot_be_read_is_one_line(document: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sequential.read(document)


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "l2pool"},
        {"kind": "maxpool", "padding": 1},
        {"kind": "conv", "filters": 1, "kernel": 3, "padding": 1, "border": "reflect"},
        {"kind": "conv", "filters": 1, "kernel": 3, "padding": "same", "border": "nearest"},
        {"kind": "pad", "amount": 1, "border": "constant", "value": 2.0},
    ],
)
def test_what_keras_has_not_is_not_written(entry: dict[str, Any], tmp_path: Path) -> None:
    layers = parse([entry, {"kind": "dense", "units": 2}])
    network = build_layers(layers, shape=(1, 8, 8), classes=2)
    with pytest.raises(UsageError, match="Keras"):
        sequential.save(tmp_path / "n.h5", sequential.Sequential(layers, (1, 8, 8), network))
    assert not list(tmp_path.iterdir())


def test_keras_json_is_a_network_wherever_one_is_asked_for() -> None:
    assert [layer.kind for layer in layers_of(CONFIG)] == ["conv", "batchnorm", "maxpool", "flatten", "dense"]  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="has no such array"):  # the layer list knows nothing of Keras
        parse({"class_name": "Sequential", "config": {}})


def test_an_application_with_and_without_its_top(tmp_path: Path) -> None:
    torch.manual_seed(0)
    manner = Manner(padding="same", eps=1e-3)
    network = build(
        Model(name="mobilenet_v2", stem="paper", manner=manner), shape=(3, 224, 224), classes=6
    ).eval()
    names = keras_names.keras("mobilenet_v2", network)
    stored = {theirs: to_keras(network.get_submodule(ours), order=None) for theirs, ours in names.items()}
    config = {"config": {"name": "m", "layers": []}}
    write_h5(tmp_path / "m.h5", stored, config)
    write_h5(tmp_path / "notop.h5", {k: v for k, v in stored.items() if k != "predictions"}, config)
    write_h5(tmp_path / "short.h5", {k: v for k, v in stored.items() if "block_3" not in k}, config)
    assert weights.identify(tmp_path / "m.h5") == weights.identify(tmp_path / "notop.h5") == "mobilenet_v2"
    x = torch.randn(1, 3, 96, 96)
    found, bare = (weights.load("mobilenet_v2", tmp_path / name) for name in ("m.h5", "notop.h5"))
    with torch.inference_mode():
        assert torch.allclose(found.network(x), network(x), atol=1e-6)
        assert torch.allclose(bare.network(x), network.features(x).mean((2, 3)), atol=1e-6)
    assert (found.model.manner, len(found.classes)) == (manner, 6)
    assert (bare.model.manner, bare.classes) == (Manner(padding="same", eps=1e-3, until="conv2"), ())
    assert found.preprocess.mean == (0.5, 0.5, 0.5)
    with pytest.raises(UnreadableError, match=r"missing: features\.bottleneck4"):
        weights.load("mobilenet_v2", tmp_path / "short.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "m.h5").read_bytes()[:5000])
    with pytest.raises(UnreadableError, match="no weights file of Keras, or is cut off"):
        weights.load("mobilenet_v2", tmp_path / "cut.h5")


def test_a_network_in_a_class_of_its_own(tmp_path: Path) -> None:
    """Keras keeps a subclass' layers where its attributes hold them: here VGG16's beside others, as edge
    detectors are built on it."""
    network = build(Model(name="vgg16", stem="paper"), shape=(3, 32, 32), classes=1)
    names = keras_names.keras("vgg16", network)
    with h5py.File(tmp_path / "hed.weights.h5", "w") as file:
        for name, ours in names.items():
            if not name.startswith("block"):
                continue
            group = file.create_group(f"{name.partition('_')[0]}/layers/{name[-5:]}/vars")
            group.attrs["name"] = name
            for place, (_, array) in enumerate(to_keras(network.get_submodule(ours), order=None)):
                group.create_dataset(str(place), data=array)
        side = file.create_group("side1/vars")
        side.attrs["name"] = "conv2d"
        side.create_dataset("0", data=np.zeros((1, 1, 64, 1)))
        file.create_group("vars").attrs["name"] = "hed"
    found = weights.load("vgg16", tmp_path / "hed.weights.h5")
    assert found.classes == ()
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(found.network.features(x), network.eval().features(x))
    with h5py.File(tmp_path / "empty.weights.h5", "w") as file:
        file.create_group("vars")
    with pytest.raises(UnreadableError, match="it holds no layers"):
        weights.load("vgg16", tmp_path / "empty.weights.h5")
