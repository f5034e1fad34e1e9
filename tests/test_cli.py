"""The command line, in this process: what it prints, where, and its exit codes."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import neocog
from neocog.cli import run as command
from neocog.runs.run import Run

Capture = pytest.CaptureFixture[str]
NET = {
    "layers": [
        {"kind": "conv", "filters": 4, "kernel": 3, "activation": "relu"},
        {"kind": "dense", "units": 10},
    ]
}


def call(capsys: Capture, *argv: object) -> tuple[int, str, str]:
    code = command([str(part) for part in argv])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three readable pictures of odd kinds and sizes, and two files that are none."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(rng.integers(0, 255, (30, 50, 3), np.uint8)).save(folder / "10.jpg")
    Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(folder / "2.png")
    Image.fromarray(rng.integers(0, 255, (200, 9, 4), np.uint8)).save(folder / "rgba.png")
    (folder / "broken.jpg").write_bytes((folder / "10.jpg").read_bytes()[:200])
    (folder / "text.png").write_text("not a picture")
    return folder


def test_train_evaluate_predict_json(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, text, err = call(
        capsys, "train", "digits", "--epochs", 2, "--lr", 0.002, "--out", out, "--json", "-q"
    )
    assert (code, err) == (0, "")
    trained = json.loads(text)
    assert set(trained) == {"run", "epochs", "seconds", "test_accuracy"}
    assert (trained["run"], trained["epochs"]) == (str(out), 2)

    code, text, _ = call(capsys, "evaluate", out, "--json")
    report = json.loads(text)
    assert code == 0
    assert {"accuracy", "interval", "n", "loss", "classes", "confusion", "per_class", "split"} <= set(report)
    assert report["accuracy"] == trained["test_accuracy"]
    assert (report["split"], report["n"], len(report["interval"])) == ("test", 359, 2)
    assert sum(map(sum, report["confusion"])) == 359

    code, text, _ = call(capsys, "predict", out, "--split", "test", "--index", "0,17", "--top", 2, "--json")
    first, second = json.loads(text)
    assert code == 0
    assert (first["file"], second["file"]) == ("test[0]", "test[17]")
    assert set(first["top"][0]) == {"class", "index", "probability"}
    assert first["top"][0]["probability"] >= first["top"][1]["probability"]


def test_progress_goes_to_stderr_one_line_an_epoch(capsys: Capture, tmp_path: Path) -> None:
    code, out, err = call(capsys, "train", "digits", "--epochs", 2, "--out", tmp_path / "run")
    assert code == 0
    assert "test accuracy" in out
    assert "epoch" not in out.splitlines()[-1]
    assert [line for line in err.splitlines() if line.startswith("epoch ")][1].startswith("epoch 2/2  loss ")
    assert "\r" not in err


def test_predict_any_pictures_and_one_bad_file_does_not_stop_the_rest(
    capsys: Capture, run: Run, pictures: Path
) -> None:
    code, out, _ = call(capsys, "predict", run.path, pictures, "--json", "--top", 3)
    items = json.loads(out)
    assert code == 3
    assert [Path(i["file"]).name for i in items] == ["2.png", "10.jpg", "broken.jpg", "rgba.png", "text.png"]
    assert ["error" in i for i in items] == [False, False, True, False, True]
    for item in items:
        if "top" in item:
            assert len(item["top"]) == 3
            assert sum(guess["probability"] for guess in item["top"]) <= 1 + 1e-5
    code, out, _ = call(
        capsys, "predict", run.path, pictures / "*.jpg", pictures / "missing.png", "--format", "csv"
    )
    assert code == 3
    assert out.splitlines()[0] == "file,class,probability,error"
    assert len(out.splitlines()) == 4


def test_predict_reads_names_from_stdin(
    capsys: Capture, run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{pictures / '2.png'}\n{pictures / '10.jpg'}\n"))
    code, out, _ = call(capsys, "predict", run.path, "-", "--format", "jsonl")
    assert code == 0
    assert [json.loads(line)["file"] for line in out.splitlines()] == [
        str(pictures / "2.png"),
        str(pictures / "10.jpg"),
    ]


def test_python_and_the_command_line_agree(capsys: Capture, run: Run, pictures: Path) -> None:
    _, out, _ = call(capsys, "evaluate", run.path, "--json")
    assert json.loads(out) == neocog.evaluate(run).json()
    _, out, _ = call(capsys, "predict", run.path, pictures / "2.png", "--json")
    assert json.loads(out) == neocog.predict(run, [pictures / "2.png"]).json()


def test_a_digit_on_white_paper_is_noticed(capsys: Capture, run: Run, tmp_path: Path) -> None:
    from neocog.data import load
    from neocog.recipes.chapters import RECIPES

    test = load(RECIPES["digits"].data).test
    assert test is not None
    picture = test.x[0, 0].numpy()
    Image.fromarray(picture).save(tmp_path / "light-on-dark.png")
    Image.fromarray(255 - picture).save(tmp_path / "dark-on-light.png")
    _, out, _ = call(
        capsys, "predict", run.path, tmp_path / "light-on-dark.png", tmp_path / "dark-on-light.png", "--json"
    )
    as_trained, negative = json.loads(out)
    assert "note" not in as_trained
    assert "--negative" in negative["note"]
    _, out, _ = call(capsys, "predict", run.path, tmp_path / "dark-on-light.png", "--negative", "--json")
    turned = json.loads(out)[0]["top"]
    assert [g["class"] for g in turned] == [g["class"] for g in as_trained["top"]]
    assert [g["probability"] for g in turned] == pytest.approx(
        [g["probability"] for g in as_trained["top"]], rel=1e-4
    )


def test_the_model_file_works_alone_in_another_folder(
    capsys: Capture, run: Run, tmp_path: Path, pictures: Path
) -> None:
    alone = tmp_path / "elsewhere" / "digits.safetensors"
    alone.parent.mkdir()
    shutil.copy(run.model_file, alone)
    assert (
        neocog.predict(alone, [pictures / "2.png"]).json() == neocog.predict(run, [pictures / "2.png"]).json()
    )
    assert neocog.evaluate(alone).accuracy == neocog.evaluate(run).accuracy
    alone.write_bytes(alone.read_bytes()[:-1] + b"\x01")
    code, out, err = call(capsys, "predict", alone, pictures / "2.png")
    assert (code, out) == (3, "")
    assert "was changed" in err


def test_grouped_classes(capsys: Capture, run: Run) -> None:
    code, out, _ = call(capsys, "evaluate", run.path, "--group", "round=0,6,8,9", "--json")
    assert code == 0
    assert json.loads(out)["classes"] == ["round", "other"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["train", "nmist"], 2, "did you mean 'mnist'"),
        (["train", "no/such/folder"], 3, "there is no file or folder"),
        (["train"], 2, "say what to train"),
        (["train", "digits", "--set", "optim.lrr=1"], 2, "did you mean 'lr'"),
        (["train", "digits", "--device", "tpu"], 2, "unknown device 'tpu'"),
        (["train", "digits", "--precision", "float16"], 2, "needs a GPU"),
        (["train", "digits", "--model", "lenett"], 2, "did you mean 'lenet'"),
        (["train", "digits", "--model", "none.json"], 3, "cannot read none.json"),
        (["train", "digits", "--model", "lenet"], 5, "8x8"),
        (["train", "--resume", "nowhere"], 3, "nowhere is no run: there is no such folder; those that there"),
        (["train", "digits", "--resume", "nowhere"], 2, "without WHAT"),
        (["evaluate", "nowhere"], 2, "unknown run"),
        (["evaluate", "no/run"], 3, "there is no run or model file"),
        (["predict", "lenet", "x.png"], 2, "no public weights"),
        (["summary", "net.json", "--input", "32x0x3"], 2, "HEIGHTxWIDTHxCHANNELS"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEOCOG_RUNS_DIR", str(tmp_path / "runs"))
    got, out, err = call(capsys, *argv)
    assert (got, out) == (code, "")
    assert words in err
    assert err.startswith("error: ")
    assert code == 5 or err.count("\n") == 1
    assert not (tmp_path / "runs").exists(), "nothing is written before the input is known to be good"


def test_a_network_in_json_trains(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps(NET))
    argv = [
        "train",
        "digits",
        "--model",
        tmp_path / "net.json",
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
        "-q",
        "--json",
    ]
    code, _, _ = call(capsys, *argv)
    assert code == 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["model"]["layers"][0]["kind"] == "conv"
    code, _, _ = call(
        capsys, "train", tmp_path / "run" / "recipe.json", "--out", tmp_path / "again", "-q", "--json"
    )
    assert code == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        tmp_path / "run" / "model.safetensors"
    ).read_bytes()


def test_tensorboard_logs(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    call(capsys, "train", "digits", "--epochs", 1, "--tensorboard", "-q", "--out", tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))
