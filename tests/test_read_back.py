"""What neocog wrote is read back whole (experiment C8), and what was tampered with is one line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import neocog
from neocog import cli, sealed
from neocog.data import Data, load
from neocog.errors import NeocogError, UnreadableError, UsageError
from neocog.model import Trained, open_trained
from neocog.pictures.preprocess import Preprocess
from neocog.pretrained.keras import h5 as keras_h5
from neocog.runs.run import Run
from neocog.tasks.doubt import Doubt
from neocog.verbs.weights import Weights
from neocog.zoo import Model, build
from neocog.zoo.layer_list import parse

PACKED = Doubt(1.0, 0.9, None, 3, torch.zeros(10, 2), torch.ones(2)).packed()
NAMES = ("naught", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def trained(run: Run) -> Trained:
    """The digits' network with names and a preprocessing that nobody would assume."""
    kept = open_trained(run)
    odd = kept.preprocess.model_copy(update={"scale": "given", "mean": (0.3,), "std": (0.9,), "fit": "crop"})
    return replace(kept, classes=NAMES, preprocess=odd)


@pytest.fixture(scope="module")
def photos(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two test pictures that the network names right, a three and a five, each enlarged to its own size."""
    folder, test = tmp_path_factory.mktemp("photos"), load(Data(name="digits")).test
    assert test is not None
    with torch.inference_mode():
        said = trained.network(trained.preprocess.normalise(test.x)).argmax(1)
    paths = []
    for digit, size in ((3, (120, 120)), (5, (57, 64))):
        pixels = test.x[(test.y == digit) & (said == digit)][0, 0].numpy()
        paths.append(folder / f"{digit}.png")
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    return paths


@pytest.mark.parametrize("files", [("net.keras",), ("net.h5",), ("net.json", "net.weights.h5")], ids=str)
def test_structure_and_weights_name_photos_elsewhere(
    files: tuple[str, ...], trained: Trained, photos: list[Path], tmp_path: Path
) -> None:
    """C8: saved, loaded elsewhere, two photos of any size: class 3 and class 5, under their names."""
    for name in files:
        Weights(trained).save(tmp_path / name)
    place, weights = tmp_path / files[0], (tmp_path / files[1] if len(files) > 1 else None)
    again = open_trained(place, weights)
    assert (again.classes, again.preprocess, again.task) == (NAMES, trained.preprocess, "classify")
    assert again.provenance["data"] == trained.provenance["data"]
    assert "assumed" not in again.provenance
    mine, theirs = neocog.predict(trained, photos), neocog.predict(place, photos, weights=weights)
    assert [item.top[0].index for item in mine.items] == [3, 5]
    assert [item.top[0].name for item in theirs.items] == ["three", "five"]
    for one, other in zip(mine.items, theirs.items, strict=True):
        assert other.top[0].probability == pytest.approx(one.top[0].probability, abs=1e-5)


def test_the_command_line_takes_them_apart(
    run: Run, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights = str(tmp_path / "net.json"), str(tmp_path / "net.weights.h5")
    assert cli.run(["weights", str(run.path), "-o", net, "-q"]) == 0
    assert cli.run(["weights", str(run.path), "-o", weights, "-q"]) == 0
    capsys.readouterr()
    assert cli.run(["predict", net, *map(str, photos), "--weights", weights, "--format", "csv"]) == 0
    assert cli.run(["predict", net, str(photos[0])]) == UsageError.exit_code
    assert "holds layers without weights; give those: --weights" in capsys.readouterr().err


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("files", [("net.keras",), ("net.h5",), ("net.json", "net.weights.h5")], ids=str)
def test_when_to_doubt_is_read_back_too(
    files: tuple[str, ...], wide: bool, trained: Trained, photos: list[Path], tmp_path: Path
) -> None:
    """Probabilities and warnings are those of the run: temperature, centres, threshold."""
    width, draws = trained.network.head.dense2.in_features, torch.Generator().manual_seed(0)
    whitening = torch.rand((width, width) if wide else (width,), generator=draws)
    doubt = Doubt(2.5, 0.95, 1e-3, 7, torch.randn(10, width, generator=draws), whitening)
    doubtful = replace(trained, doubt=doubt)
    for name in files:
        Weights(doubtful).save(tmp_path / name)
    weights = tmp_path / files[1] if len(files) > 1 else None
    again = open_trained(tmp_path / files[0], weights)
    assert again.doubt is not None
    assert again.doubt.json() == doubt.json()
    assert all(torch.equal(again.doubt.tensors()[name], kept) for name, kept in doubt.tensors().items())
    mine, theirs = neocog.predict(doubtful, photos), neocog.predict(again, photos)
    plain = neocog.predict(trained, photos)
    for one, other, sure in zip(mine.items, theirs.items, plain.items, strict=True):
        assert other.top[0].probability == pytest.approx(one.top[0].probability, abs=1e-5)
        assert other.top[0].probability < sure.top[0].probability
        assert other.unlike


@pytest.mark.parametrize("files", [("net.keras",), ("net.json", "net.weights.h5")], ids=str)
def test_a_network_that_restores_is_read_back(files: tuple[str, ...], tmp_path: Path) -> None:
    """It gives the same pictures back, and knows the damage that it learned to mend."""
    first = {"kind": "conv", "filters": 4, "kernel": 3, "padding": "same", "activation": "relu"}
    layers = parse([first, {"kind": "conv", "filters": 3, "kernel": 3, "padding": "same"}])
    prepared = {"size": (8, 8), "channels": 3, "scale": "unit"}
    restoring = Trained(
        network=build(Model(layers=layers), shape=(3, 8, 8), classes=1).eval(),
        model=Model(layers=layers),
        shape=(3, 8, 8),
        classes=("photo",),
        preprocess=Preprocess.model_validate(prepared),
        task="restore",
        provenance={"damage": {"noise": 20.0, "seed": 3}},
    )
    for name in files:
        Weights(restoring).save(tmp_path / name)
    weights = tmp_path / files[1] if len(files) > 1 else None
    again = open_trained(tmp_path / files[0], weights)
    assert again.damage is not None
    assert (again.task, again.damage, again.preprocess) == ("restore", restoring.damage, restoring.preprocess)
    x = torch.rand(2, 3, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(again.network(x), restoring.network(x), atol=1e-5)


def test_weights_beside_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="there is no run or model file at"):
        open_trained(tmp_path / "net.json", tmp_path / "net.weights.h5")


def test_labels_each_for_itself_end_in_logistics(tmp_path: Path) -> None:
    layers = parse([{"kind": "flatten"}, {"kind": "dense", "units": "classes", "activation": "softmax"}])
    network = build(Model(layers=layers), shape=(1, 4, 4), classes=3).eval()
    document = {"size": (4, 4), "channels": 1, "mean": (0.0,), "std": (1.0,)}
    several = Trained(
        network=network,
        model=Model(layers=layers),
        shape=(1, 4, 4),
        classes=("a", "b", "c"),
        preprocess=Preprocess.model_validate(document),
        task="multilabel",
    )
    Weights(several).save(tmp_path / "net.keras")
    config = keras_h5.read(tmp_path / "net.keras").config
    assert config is not None
    assert config["config"]["layers"][-1]["config"]["activation"] == "sigmoid"
    again = open_trained(tmp_path / "net.keras")
    assert again.task == "multilabel"
    x = torch.randn(2, 1, 4, 4)
    assert torch.allclose(again.network(x), network(x), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ["a", "b"]}, "2 classes for 10 outputs"),
        ({"classes": 7}, "classes"),
        ({"task": "guess"}, "task"),
        ({"preprocess": {"size": [9, 9], "channels": 1}}, "of another network"),
        ({"preprocess": {"size": [8, 8], "channels": 1, "scale": "loud"}}, "preprocess.scale"),
        ({"provenance": []}, "provenance"),
        ({"doubt": {}}, "doubt"),
        ({"doubt": PACKED | {"centres": {"shape": [9, 2], "float32": "?"}}}, "doubt"),
        ({"doubt": PACKED | {"temperature": 0}}, "doubt"),
        ({"doubt": PACKED | {"whitening": PACKED["centres"]}}, "doubt"),
        ({"doubt": [1]}, "doubt"),
    ],
    ids=str,
)
def test_what_was_changed_in_a_keras_file_is_one_line(
    change: dict[str, Any], says: str, trained: Trained, tmp_path: Path
) -> None:
    path = tmp_path / "net.keras"
    Weights(trained).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["neocog"] |= change
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (members | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, data)
    refused(lambda: open_trained(path), says)


def refused(what: Callable[[], object], says: str) -> None:
    with pytest.raises(NeocogError, match=says) as refusal:
        what()
    assert refusal.value.exit_code == UnreadableError.exit_code
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 700


Change = Callable[[dict[str, Any]], dict[str, Any]]
HUGE = {"layers": [{"kind": "conv", "filters": 10**6, "kernel": 101}, {"kind": "dense", "units": "classes"}]}
DOCUMENTS: dict[str, tuple[Change, str]] = {
    "classes null": (lambda d: d | {"classes": None}, "classes"),
    "classes numbers": (lambda d: d | {"classes": [1] * 10}, "classes"),
    "classes a word": (lambda d: d | {"classes": "0123456789"}, "classes"),
    "too few classes": (lambda d: d | {"classes": ["a"]}, "does not fit its own architecture"),
    "format a word": (lambda d: d | {"format": "1"}, "format"),
    "format true": (lambda d: d | {"format": True}, "format"),
    "no format": (lambda d: {k: v for k, v in d.items() if k != "format"}, "format"),
    "shape negative": (lambda d: d | {"shape": [1, -8, 8]}, "shape"),
    "shape a fraction": (lambda d: d | {"shape": [1, 8.5, 8]}, "shape"),
    "shape huge": (lambda d: d | {"shape": [1, 8, 10**12]}, "shape"),
    "shape empty": (lambda d: d | {"shape": []}, "shape"),
    "shape of another": (lambda d: d | {"shape": [1, 16, 16]}, "pictures are placed as"),
    "three channels": (
        lambda d: d | {"preprocess": d["preprocess"] | {"channels": 3}},
        "pictures are placed as",
    ),
    "no provenance": (lambda d: {k: v for k, v in d.items() if k != "provenance"}, "provenance"),
    "provenance a list": (lambda d: d | {"provenance": [1]}, "provenance"),
    "task unknown": (lambda d: d | {"task": "x"}, "there is no task 'x'"),
    "model null": (lambda d: d | {"model": None}, "model"),
    "model unknown": (lambda d: d | {"model": {"name": "nonet"}}, "nonet"),
    "layers huge": (lambda d: d | {"model": HUGE}, "no model"),
    "doubt odd": (lambda d: d | {"doubt": {"temperature": 1}}, "no model"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_odd_documents_in_sealed_files_are_one_line(case: str, run: Run, tmp_path: Path) -> None:
    """The digest is right: whoever made the file sealed it."""
    change, says = DOCUMENTS[case]
    tensors, document = sealed.read(run.model_file)
    sealed.write(tmp_path / "x.safetensors", tensors, change(document))
    refused(lambda: open_trained(tmp_path / "x.safetensors"), says)


def test_sealed_values_that_are_not_finite(run: Run, tmp_path: Path) -> None:
    tensors, document = sealed.read(run.model_file)
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    sealed.write(tmp_path / "x.safetensors", tensors, document)
    refused(lambda: open_trained(tmp_path / "x.safetensors"), f"not finite, in {name}")


def _bomb(file: Any) -> None:
    """3.6 GB of zeros in a few bytes."""
    file["layers/dense/vars"].create_dataset("0", (30_000, 30_000), "f4", chunks=(1000, 1000))


def _many_names(file: Any) -> None:
    """One array of 4 MB under forty names."""
    one = file["layers/dense/vars"].create_dataset("0", (1000, 1000), "f4", chunks=(100, 100))
    for number in range(1, 40):
        file["layers/dense/vars"][str(number)] = one


def _elsewhere(file: Any) -> None:
    """The bytes of any other file, as numbers."""
    file["layers/dense/vars"].create_dataset("0", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def _texts(file: Any) -> None:
    file["layers/dense/vars"].create_dataset("0", data=np.array([b"a", b"b"]))


@pytest.mark.parametrize(
    ("fill", "says"),
    [
        (_bomb, "far more than weights would"),
        (_many_names, "far more than weights would"),
        (_elsewhere, "lies in another file"),
        (_texts, "holds no numbers"),
    ],
    ids=["zeros", "names", "external", "texts"],
)
@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
def test_small_files_of_many_bytes_are_one_line(
    fill: Callable[[Any], None], says: str, ending: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        file.create_group("layers/dense/vars").attrs["name"] = "dense"
        fill(file)
    path = tmp_path / f"x.{ending}"
    if ending == "keras":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                "config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}})
            )
            archive.write(tmp_path / "x.weights.h5", "model.weights.h5")
    assert path.stat().st_size < 200_000
    refused(lambda: keras_h5.read(path), says)


def test_what_a_run_is_stands_in_two_columns(run: Run) -> None:
    lines = neocog.weights(run).text().splitlines()
    assert {"data_fingerprint", "recipe_identity"} <= {line.split()[0] for line in lines}
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in lines}) == 1
