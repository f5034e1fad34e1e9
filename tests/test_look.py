"""look: what it says of built-in sets and folders, and the pictures it draws."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neocog import cli
from neocog.cli import progress
from neocog.data import Data, load
from neocog.data.augment.augment import Augment, augmentation
from neocog.data.samples import draw
from neocog.errors import UnreadableError, UsageError
from neocog.pictures.decode import Preprocess
from neocog.verbs.look import look

REAL = Path(os.environ.get("NEOCOG_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data")


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def pets(tmp_path) -> Path:
    """Dark cats of 10x20, bright dogs of 30x40; one dog twice; no picture; a name that drives a terminal."""
    root = tmp_path / "pets"
    for folder, value, size, count in (
        ("train/cat", 40, (10, 20), 18),
        ("train/dog", 200, (30, 40), 3),
        ("test/cat", 50, (10, 20), 2),
    ):
        (root / folder).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(np.full((*size, 3), value + k, np.uint8)).save(root / folder / f"{k}.png")
    (root / "train/dog/same.png").write_bytes((root / "train/dog/0.png").read_bytes())
    (root / "train/dog/\x1b[31mred\n.txt").write_text("x")
    (root / "train/dog/bad.png").write_text("x")
    return root


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return picture


def test_digits():
    found = look("digits")
    assert found.counts["train"] == tuple(load(Data(name="digits", held_out=0)).train.y.bincount().tolist())
    assert set(found.counts) == {"train", "test"}
    assert (sum(found.counts["train"]), sum(found.counts["test"])) == (1438, 359)
    x = load(Data(name="digits", held_out=0)).train.x.double()
    assert found.mean == pytest.approx(float(x.mean()))
    assert found.spread == pytest.approx(float(x.std(unbiased=False)))
    assert found.copies == 0
    assert "1438" in found.text()
    assert found.sheet.pictures[3].shape == (1, 8, 8)


def test_a_folder(pets):
    found = look(pets)
    assert found.counts == {"train": (18, 4), "test": (2, 0)}
    assert (found.sizes.smallest, found.sizes.middle, found.sizes.largest) == ((10, 20), (10, 20), (30, 40))
    assert found.brightness == (pytest.approx(48.5), pytest.approx((200 * 2 + 201 + 202) / 4))
    assert found.found == 26 == 24 + len(found.skipped)
    # test/cat repeats two of the values of train/cat, and same.png the first dog
    assert found.copies == 3
    remarks = " ".join(found.remarks)
    assert "test has no pictures of: dog" in remarks
    assert "2 pictures of test are also in train" in remarks
    text = found.text()
    assert "26 files found = 24 used + 2 skipped" in text
    assert "in the files 10x20 to 30x40" in text
    assert "\x1b" not in text
    assert "\\x1b[31mred\\n.txt" in text


def test_the_table_is_aligned(pets):
    lines = look(pets).text().split("\n")
    start = next(k for k, line in enumerate(lines) if line.startswith("class"))
    table = lines[start : start + 4]
    assert [line.split() for line in table] == [
        ["class", "train", "test"],
        ["cat", "18", "2"],
        ["dog", "4", "0"],
        ["all", "22", "2"],
    ]
    assert len({len(line) for line in table}) == 1


def test_imbalance_above_one_to_five(pets):
    assert not any("balanced" in remark for remark in look(pets).remarks)
    (pets / "train/dog/2.png").unlink()
    assert any("18 training pictures of cat, 3 of dog" in remark for remark in look(pets).remarks)


def test_json_is_one_document_with_the_same_facts(pets):
    found = look(pets)
    document = json.loads(json.dumps(found.json(), allow_nan=False))
    assert document["counts"] == {"train": {"cat": 18, "dog": 4}, "test": {"cat": 2, "dog": 0}}
    assert document["size"] == [128, 128, 3]
    assert document["file_sizes"]["largest"] == [30, 40]
    assert len(document["skipped"]) == 2
    json.dumps(found.json(), ensure_ascii=False).encode()


def test_size_is_what_is_looked_at(pets):
    assert look(pets, size=(32, 24)).shape == (3, 32, 24)
    assert look("digits", size=(28, 28)).shape == (1, 28, 28)


def test_a_folder_sample_shows_every_class(pets):
    sheet = look(pets).sheet
    assert sheet.titles == ("cat",) * 12 + ("dog",) * 4
    assert (sheet.pictures[0] == 40).all()


def test_the_sample_of_a_built_in_set_is_its_first_sixteen(tmp_path):
    found = look("digits", out=tmp_path / "digits.png")
    train = load(Data(name="digits", held_out=0)).train
    assert [int(t) for t in found.sheet.titles] == train.y[:16].tolist()
    assert all((a == b.numpy()).all() for a, b in zip(found.sheet.pictures, train.x))
    assert opened((tmp_path / "digits.png").read_bytes()).width > 4 * 90


def test_by_class_has_three_rows_of_each():
    sheet = look("digits", view="by-class").sheet
    assert (len(sheet.pictures), sheet.columns) == (300, 10)
    assert sheet.titles[30] == "1"
    data = load(Data(name="digits", held_out=0)).train
    assert (sheet.pictures[31] == data.x[data.y == 1][1].numpy()).all()
    assert opened(sheet.png()).height > 30 * 90


def test_a_class_with_few_pictures_leaves_its_rows_blank(pets):
    sheet = look(pets, view="by-class", size=(8, 8)).sheet
    assert [bool((p == 255).all()) for p in sheet.pictures] == [False] * 18 + [True] * 12 + [False] * 4 + [
        True
    ] * 26


def test_one_picture_with_its_scale(pets):
    grey, colour = look("digits", index=5), look(pets, index=20, size=(8, 8))
    assert grey.sheet.scale
    assert "8x8" in grey.sheet.caption
    assert "train/dog/" in colour.sheet.caption
    pictures = [np.asarray(opened(found.sheet.png()).convert("RGB")) for found in (grey, colour)]
    assert all(picture.std() > 10 for picture in pictures)
    grey.save(pets.parent / "chart.png")
    alone = np.asarray(opened((pets.parent / "chart-1.png").read_bytes()).convert("L"))
    assert (alone == load(Data(name="digits", held_out=0)).train.x[5, 0].numpy()).all()
    with pytest.raises(UsageError, match="pictures 0 to 1437"):
        look("digits", index=1438)
    with pytest.raises(UsageError):
        look("digits", index=-1)


def test_label_sets_are_named_together():
    dataset = load(Data(name="digits", held_out=0))
    y = torch.zeros(len(dataset.train), 10)
    y[:, 2] = y[:, 7] = 1
    sheet = draw(replace(dataset, train=replace(dataset.train, y=y)))
    assert set(sheet.titles) == {"2 + 7"}


def test_notebooks_see_text_and_picture(pets):
    page = look(pets)._repr_html_()
    assert "data:image/png;base64," in page
    assert "\x1b" not in page


def test_what_must_be_a_name_or_a_path():
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        look("digit")
    with pytest.raises(UnreadableError, match="there is no folder at"):
        look(Path("no") / "such" / "folder")


def test_shapes():
    found = look("shapes")
    assert sum(found.counts["train"]) > 0
    assert opened(found.sheet.png()).width > 100


def test_ants_and_bees(tmp_path):
    photos = REAL / "photos" / "ants-bees"
    if not photos.is_dir():
        pytest.skip(f"no photos in {REAL}")
    found = look(photos, size=(32, 32), out=tmp_path / "a.png")
    assert found.counts == {"train": (124, 121), "test": (70, 83)}
    assert found.sizes.largest[0] * found.sizes.largest[1] > 4_000_000
    assert opened((tmp_path / "a.png").read_bytes()).width > 100
    placed = load(Data(name="folder"), where=photos, preprocess=Preprocess(size=(32, 32), fit="crop"))
    assert placed.shape == found.shape


def test_three_variants_beside_the_original(tmp_path):
    """Experiment E6: 2x2, and each variant as a file of its own."""
    augment = Augment(rotation=30)
    found = look("digits", index=5, augment=augment, out=tmp_path / "e6.png")
    original = load(Data(name="digits", held_out=0)).train.x[5]
    assert (found.sheet.pictures[0] == original.numpy()).all()
    assert len({picture.tobytes() for picture in found.sheet.pictures}) == 4
    variants = augment.variants(original, 3, 0)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "e6-1.png",
        "e6-2.png",
        "e6-3.png",
        "e6.png",
    ]
    for k in range(3):
        single = np.asarray(opened((tmp_path / f"e6-{k + 1}.png").read_bytes()).convert("L"))
        assert (single == variants[k, 0].numpy()).all()
    sheet = opened((tmp_path / "e6.png").read_bytes())
    assert sheet.width > 2 * 90
    assert sheet.height > 2 * 90
    assert "rotation=30" in found.sheet.caption


def test_labels_that_a_variant_may_belie_are_said():
    said = " ".join(look("digits", augment=Augment(rotation=180, flip="both")).remarks)
    assert "can make 6 look like 9" in said
    assert "may no longer be true" not in " ".join(look("digits", augment=Augment(rotation=10)).remarks)
    with pytest.raises(UsageError, match="pictures 0 to 1437"):
        look("digits", augment=Augment(), index=5000)


def test_another_split_is_shown_and_measured():
    dataset = load(Data(name="digits", held_out=0.2, seed=4))
    found = look("digits", split="val", changes=["held_out=0.2", "data.seed=4"])
    assert found.counts["val"] == tuple(dataset.val.y.bincount().tolist())
    assert found.pictures == {"train": 1150, "val": 288, "test": 359}
    assert [p.tobytes() for p in found.sheet.pictures] == [x.numpy().tobytes() for x in dataset.val.x[:16]]
    assert "16 of 288 held-out pictures" in found.sheet.caption
    assert found.mean == pytest.approx(float(dataset.val.x.double().mean()))
    assert found.json()["split"] == "val"
    one = look("digits", split="test", index=358)
    assert (one.sheet.pictures[0] == dataset.test.x[358].numpy()).all()
    rows = look("digits", split="test", view="by-class")
    assert rows.sheet.titles[30] == "1"
    assert (rows.sheet.pictures[30] == dataset.test.x[dataset.test.y == 1][0].numpy()).all()


def test_a_seed_draws_other_samples_and_variants():
    def shown(seed: int | None, **more) -> list[bytes]:
        return [p.tobytes() for p in look("digits", seed=seed, **more).sheet.pictures]

    everything = {x.numpy().tobytes() for x in load(Data(name="digits", held_out=0)).train.x}
    assert shown(1) == shown(1) != shown(2) != shown(None)
    assert set(shown(1)) <= everything
    assert shown(1, view="by-class") != shown(2, view="by-class")
    turned = Augment(rotation=30)
    assert shown(None, augment=turned) == shown(0, augment=turned) != shown(1, augment=turned)


def test_a_seed_and_a_folder(pets):
    samples = [look(pets, seed=seed).sheet for seed in (0, 1, 2)]
    assert len({b"".join(p.tobytes() for p in sheet.pictures) for sheet in samples}) > 1
    assert all(sorted(sheet.titles) == ["cat"] * 12 + ["dog"] * 4 for sheet in samples)


def test_what_cannot_be_looked_at_is_one_line(pets):
    for more, says in (
        ({"split": "val"}, "accepted: test, train"),
        ({"split": "test", "index": 359}, "pictures 0 to 358 in test"),
        ({"changes": ["heldout=1"]}, "did you mean 'held_out'"),
        ({"changes": ["held_out=2"]}, "held_out = 2: input should be less than 1"),
        ({"changes": ["val=test"]}, "unknown field of data 'val'"),
        ({"changes": ["task=both"]}, "belongs to the data set shapes"),
        ({"changes": ["held_out"]}, "is not FIELD=VALUE"),
    ):
        with pytest.raises(UsageError, match=says):
            look("digits", **more)
    divided = look(pets, split="val", changes=["held_out=0.3"])
    assert divided.pictures["train"] + divided.pictures["val"] == 22
    assert divided.counts["test"] == (2, 0)
    assert look("shapes", changes=["task=both", "limit=90"]).pictures == {"train": 90, "test": 900}


def test_augment_in_words():
    assert augmentation(["rotation=30", "flip=both", "crop_scale=[0.5, 1]"]) == Augment(
        rotation=30, flip="both", crop_scale=(0.5, 1)
    )
    for wrong, says in (
        ("rotatoin=3", "did you mean 'rotation'"),
        ("rotation", "is not FIELD=VALUE"),
        ("rotation=300", "rotation = 300"),
        ("flip=sideways", "flip = 'sideways'"),
    ):
        with pytest.raises(UsageError, match=says):
            augmentation([wrong])


def test_the_command_line_has_the_variants(tmp_path, capsys):
    out = tmp_path / "out.png"
    assert cli.run(["look", "digits", "--augment", "shift_width=2", "--index", "1", "-o", str(out)]) == 0
    assert out.exists()
    assert out.with_name("out-3.png").exists()
    assert cli.run(["look", "digits", "--augment", "rotatoin=2"]) == 2
    assert "did you mean 'rotation'" in capsys.readouterr().err


def test_what_a_centre_crop_discards(pets):
    """10x20 keeps its middle half, 30x40 three quarters."""
    found = look(pets, size=(16, 16))
    assert found.discarded.mean == pytest.approx((20 * 0.5 + 4 * 0.25) / 24)
    assert found.discarded.most == pytest.approx(0.5)
    assert found.discarded.worst.startswith(("train/cat/", "test/cat/"))
    assert "centre crop to 16x16 discards 46 % of the pixels (at most 50 %" in found.text()
    wide = look(pets, size=(16, 32))
    assert wide.discarded.most == pytest.approx(1 / 3)  # 3:4 to 1:2
    assert look("digits").discarded is None


def test_counts_of_label_sets_and_of_pictures(tmp_path):
    for k in range(4):
        Image.fromarray(np.full((9, 9, 3), 40 * k, np.uint8)).save(tmp_path / f"{k}.png")
    (tmp_path / "labels.csv").write_text("file,tags\n0.png,cat;dog\n1.png,dog\n2.png,\n3.png,dog;emu\n")
    found = look(tmp_path, out=tmp_path.parent / "several.png")
    assert found.counts == {"train": (1, 3, 1)}
    assert found.pictures == {"train": 4}
    assert ": 4 pictures, 3 classes" in found.text()
    assert "'tags' the classes, separated by ; or |" in found.layout
    assert [line.split() for line in found.text().split("\n") if line.startswith("all")] == [["all", "4"]]
    assert set(found.sheet.titles) == {"cat + dog", "dog", "dog + emu"}
    assert found.brightness == (0, pytest.approx((0 + 40 + 120) / 3), 120)


def test_arrays_of_ones_own(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), np.uint8)
    np.savez(
        tmp_path / "mine.npz",
        x_train=x[:30],
        y_train=np.arange(30) % 3,
        x_test=x[30:],
        y_test=np.arange(10) % 3,
    )
    found = look(tmp_path / "mine.npz")
    assert found.counts == {"train": (10, 10, 10), "test": (4, 3, 3)}
    assert found.shape == (3, 12, 10)
    assert "x_test, x_train, y_test, y_train" in found.layout
    assert look(tmp_path / "mine.npz", size=(8, 8)).shape == (3, 8, 8)


def test_a_long_reading_says_how_far_it_is(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("neocog.cli.progress.time.monotonic", lambda: now[0])
    tell = progress.reading()
    for k in range(1, 301):
        now[0] = k / 10
        tell(k, 300)
    err = capsys.readouterr().err
    assert err.split("\n") == [f"reading pictures: {k} of 300" for k in (20, 120, 220)] + [""]
    assert "\r" not in err
