"""Files that other people published: Keras' of every form, CIFAR ResNets, and what cannot be read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import neocog
from neocog.errors import NeocogError, UnreadableError, UsageError
from neocog.model import open_trained
from neocog.pretrained import weights
from neocog.pretrained.keras import h5, sequential
from neocog.tasks.table import TASKS

pytest.importorskip("h5py")


def dense(units: int, activation: str, name: str = "d", **more: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": name, "units": units, "activation": activation, **more}}


def flatten(**more: Any) -> dict[str, Any]:
    return {"class_name": "Flatten", "config": {"name": "flat", **more}}


def written(path: Path, layers: Any, units: int, width: int = 192, **more: Any) -> Path:
    """A file of Keras 2 whose last layer, `d`, gives `units` numbers of `width`; all weights are drawn."""
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(width, units)).astype("float32") / 9
    bias = draw.normal(size=units).astype("float32")
    document = {"class_name": "Sequential", "config": layers, **more}
    h5.write(path, {"d": [("kernel", kernel), ("bias", bias)]}, document)
    return path


def numbers(path: Path, x: Tensor) -> Tensor:
    """What the dense layer of `written` gives for pictures (N, C, H, W), in Keras' order."""
    stored = h5.read(path).layers["d"]
    kernel, bias = (torch.from_numpy(np.asarray(v.value)) for v in stored)
    return x.permute(0, 2, 3, 1).flatten(1) @ kernel + bias


PICTURES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
INPUT = {"batch_input_shape": [None, 8, 8, 3]}


def probabilities(path: Path, x: Tensor = PICTURES) -> Tensor:
    trained = open_trained(path)
    with torch.no_grad():
        return TASKS[trained.task](trained.classes).probabilities(trained.network(x))


# --- what the last layer means ------------------------------------------------------------------------------


def test_one_logistic_is_the_probability_of_the_second_class(tmp_path: Path) -> None:
    path = written(tmp_path / "one.h5", {"name": "s", "layers": [flatten(**INPUT), dense(1, "sigmoid")]}, 1)
    p = torch.sigmoid(numbers(path, PICTURES))
    torch.testing.assert_close(probabilities(path), torch.cat([1 - p, p], 1))


def test_several_logistics_are_labels(tmp_path: Path) -> None:
    path = written(tmp_path / "five.h5", {"name": "s", "layers": [flatten(**INPUT), dense(5, "sigmoid")]}, 5)
    assert open_trained(path).task == "multilabel"
    torch.testing.assert_close(probabilities(path), torch.sigmoid(numbers(path, PICTURES)))


def test_a_linear_end_is_logits_only_where_the_loss_says_so(tmp_path: Path) -> None:
    layers = {"name": "s", "layers": [flatten(**INPUT), dense(5, "linear")]}
    path = written(tmp_path / "linear.h5", layers, 5)
    with pytest.raises(UnreadableError, match="linear"):
        open_trained(path)
    import h5py

    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = json.dumps({"loss": {"class_name": "SparseCategoricalCrossentropy"}})
    torch.testing.assert_close(probabilities(path), numbers(path, PICTURES).softmax(1))


@pytest.mark.parametrize(("units", "activation"), [(1, "softmax"), (3, "tanh"), (1, "linear"), (3, "relu")])
def test_other_ends_are_refused(tmp_path: Path, units: int, activation: str) -> None:
    layers = {"name": "s", "layers": [flatten(**INPUT), dense(units, activation)]}
    with pytest.raises(UnreadableError, match="names no class"):
        open_trained(written(tmp_path / "end.h5", layers, units))


# --- the forms of a config ----------------------------------------------------------------------------------


def keras_2(*layers: dict[str, Any]) -> dict[str, Any]:
    """A functional model of Keras 2."""
    before = ["input"]
    found = [{"class_name": "InputLayer", "name": "input", "config": {"name": "input", **INPUT}}]
    found[0]["inbound_nodes"] = []
    for layer in layers:
        name = layer["config"]["name"]
        found.append({**layer, "name": name, "inbound_nodes": [[[before[-1], 0, 0, {}]]]})
        before.append(name)
    return {"name": "m", "layers": found, "input_layers": [["input", 0, 0]]}


def keras_3(*layers: dict[str, Any]) -> dict[str, Any]:
    """The same as Keras 3 writes it."""
    document = keras_2(*layers)
    for layer in document["layers"][1:]:
        history = layer["inbound_nodes"][0][0][:3]
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
        layer["inbound_nodes"] = [{"args": [tensor], "kwargs": {}}]
    return document


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ([flatten(**INPUT), dense(4, "softmax")], "Sequential"),
        (
            [
                flatten(**INPUT),
                {"class_name": "Dense", "config": {"name": "d", "output_dim": 4, "activation": "softmax"}},
            ],
            "Sequential",
        ),
        (keras_2(flatten(), dense(4, "softmax")), "Model"),
        (keras_3(flatten(), dense(4, "softmax")), "Functional"),
    ],
    ids=["a bare list", "Keras 1", "functional, Keras 2", "functional, Keras 3"],
)
def test_chains_of_every_form_are_read(tmp_path: Path, config: Any, kind: str) -> None:
    path = written(tmp_path / "chain.h5", config, 4, class_name=kind)
    torch.testing.assert_close(probabilities(path), numbers(path, PICTURES).softmax(1))


def test_a_convolution_of_keras_1_is_read() -> None:
    old = {"name": "c", "nb_filter": 7, "nb_row": 3, "nb_col": 2, "subsample": [2, 1], "border_mode": "same"}
    layers = [{"class_name": "Convolution2D", "config": {**old, **INPUT}}]
    (conv,), shape = sequential.read({"class_name": "Sequential", "config": layers})
    assert shape == (3, 8, 8)
    assert (conv.filters, conv.kernel, conv.stride, conv.padding) == (7, (3, 2), (2, 1), "same")  # type: ignore[attr-defined]


def test_a_model_that_branches_is_named() -> None:
    config = keras_2(flatten(), dense(4, "softmax"))
    config["layers"].append({**config["layers"][-1], "name": "e", "config": {"name": "e"}})
    with pytest.raises(UsageError, match="branches or joins at 'e'"):
        sequential.read({"class_name": "Functional", "config": config})


@pytest.mark.parametrize(
    "config",
    [
        None,
        3,
        [],
        {"layers": 3},
        {"layers": [3]},
        {"layers": [{"class_name": "Dense"}]},
        {"layers": [flatten()]},
    ],
)
def test_a_damaged_config_is_one_line(tmp_path: Path, config: Any) -> None:
    with pytest.raises(NeocogError) as refusal:
        sequential.read({"class_name": "Sequential", "config": config})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([flatten(batch_input_shape=[None, 28, 28]), dense(4, "softmax")], (1, 28, 28)),
        ([dense(4, "softmax", batch_input_shape=[None, 784])], (1, 28, 28)),
        ([dense(4, "softmax", input_dim=784)], (1, 28, 28)),
        ([dense(4, "softmax", batch_input_shape=[None, 3072])], (3, 32, 32)),
        (
            [
                {
                    "class_name": "Reshape",
                    "config": {"name": "r", "target_shape": [28, 28, 1], "batch_input_shape": [None, 784]},
                },
                flatten(),
                dense(4, "softmax"),
            ],
            (1, 28, 28),
        ),
    ],
)
def test_the_inputs_of_tutorials_are_pictures(tmp_path: Path, layers: Any, shape: tuple[int, ...]) -> None:
    width = int(np.prod(shape))
    path = written(tmp_path / "tutorial.h5", {"name": "s", "layers": layers}, 4, width)
    assert open_trained(path).shape == shape
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(probabilities(path, x), numbers(path, x).softmax(1))
    assert "assumed" in neocog.weights(file=path).text()
    Image.new("L", (30, 20), 200).save(tmp_path / "p.png")
    assert neocog.predict(path, [tmp_path / "p.png"]).items[0].top


# --- what cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("m.onnx", "ONNX"), ("m.pkl", "never opened"), ("m.ckpt", "Lightning"), ("m.pb", "SavedModel")],
)
def test_foreign_files_are_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"\x08\x07" * 40)
    with pytest.raises(UnreadableError, match=words) as refusal:
        open_trained(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_weights_alone_say_what_would_be_needed(tmp_path: Path) -> None:
    import h5py

    path = written(tmp_path / "alone.h5", {"name": "s", "layers": [flatten(**INPUT), dense(4, "softmax")]}, 4)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
    with pytest.raises(UnreadableError, match="save the whole model"):
        open_trained(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    import h5py

    path = written(tmp_path / "nan.h5", {"name": "s", "layers": [flatten(**INPUT), dense(4, "softmax")]}, 4)
    with h5py.File(path, "r+") as file:
        file["model_weights/d/d/kernel:0"][0, 0] = float("nan")
    with pytest.raises(UnreadableError, match="not finite, in head"):
        open_trained(path)


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(40 << 20))
    with pytest.raises(UnreadableError, match="far more than weights would"):
        open_trained(path)


def test_a_files_name_is_not_believed(tmp_path: Path) -> None:
    release = weights.RELEASES["vgg16"][-1]
    (tmp_path / release.file).write_bytes(b"random")
    assert weights._release_of(tmp_path / release.file, weights.RELEASES["vgg16"]) is None


# --- the CIFAR ResNets that everybody loads -----------------------------------------------------------------


class Block(nn.Module):
    """As Y. Idelbayev's pytorch_resnet_cifar10 has it, shortcut A: zeros on both sides of the channels."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.out, self.differs = out, stride != 1 or width != out

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.differs:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.out // 4, self.out // 4))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for number, (width, out) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            first = Block(width, out, 1 if number == 1 else 2)
            setattr(
                self, f"layer{number}", nn.Sequential(first, *(Block(out, out, 1) for _ in range(blocks - 1)))
            )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "blocks", "ending"), [("resnet20", 3, ".th"), ("resnet56", 9, ".pth")])
def test_the_cifar_resnets_that_everybody_loads(tmp_path: Path, name: str, blocks: int, ending: str) -> None:
    torch.manual_seed(0)
    theirs = ResNet(blocks).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            module.weight.data.uniform_(0.5, 1.5)
    path = tmp_path / f"{name}-12fca82f{ending}"
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 91.7}, path)
    trained = open_trained(path)
    assert trained.model.name == name
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(trained.network(x), theirs(x), rtol=1e-4, atol=1e-4)
    trained_again = neocog.weights(path)
    trained_again.save(tmp_path / "ours.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(open_trained(tmp_path / "ours.safetensors").network(x), trained.network(x))
