"""Built-in data sets: their files, sound and unsound, the splits, and `load`."""

import gzip
import io
import os
import pickle
import struct
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neocog.data import DATASETS, Data, load
from neocog.data.loading import fingerprint
from neocog.data.sources import cifar, cifar_pickle, digits, idx
from neocog.data.sources.finding import find
from neocog.data.splits import hold_out, parted, sample
from neocog.downloads.published import Source
from neocog.errors import UnreadableError, UsageError
from neocog.pictures.decode import Preprocess

REAL = Path(os.environ.get("NEOCOG_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No data but the test's own, and no download."""
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("NEOCOG_DATA", raising=False)

    def never(source, folder):
        pytest.fail(f"would download {folder.name}")

    monkeypatch.setattr("neocog.downloads.download.fetch", never)


# --- IDX ---


def idx_bytes(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def pictures(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(seed)
    return drawn.integers(0, 256, (count, 28, 28), np.uint8), (np.arange(count) % 10).astype(np.uint8)


def write_idx_set(folder: Path, *, train: int = 40, test: int = 20, packed: bool = True):
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for prefix, count in (("train", train), ("t10k", test)):
        x, y = pictures(count, seed=count)
        made[prefix] = x, y
        for name, values in ((f"{prefix}-images-idx3-ubyte", x), (f"{prefix}-labels-idx1-ubyte", y)):
            data = idx_bytes(values)
            (folder / f"{name}{'.gz' * packed}").write_bytes(gzip.compress(data, 1) if packed else data)
    return made


@pytest.mark.parametrize("packed", [True, False])
def test_idx_is_read_exactly(tmp_path, packed):
    made = write_idx_set(tmp_path, packed=packed)
    ending = ".gz" * packed
    split = idx.read_split(
        tmp_path / f"train-images-idx3-ubyte{ending}",
        tmp_path / f"train-labels-idx1-ubyte{ending}",
        classes=10,
    )
    x, y = made["train"]
    assert (split.x[:, 0].numpy() == x).all()
    assert split.y.tolist() == y.tolist()
    assert (split.x.dtype, split.y.dtype) == (torch.uint8, torch.int64)


def test_gzip_is_known_by_content_not_by_name(tmp_path):
    x, _ = pictures(3)
    (tmp_path / "a.gz").write_bytes(idx_bytes(x))
    (tmp_path / "b").write_bytes(gzip.compress(idx_bytes(x)))
    assert torch.equal(idx.read(tmp_path / "a.gz", dimensions=3), idx.read(tmp_path / "b", dimensions=3))


def header(*sizes: int, kind: int = 8, dimensions: int | None = None) -> bytes:
    return bytes((0, 0, kind, dimensions or len(sizes))) + struct.pack(f">{len(sizes)}I", *sizes)


SOUND = header(2, 3, 4) + bytes(24)
UNSOUND = {
    "no bytes": (b"", "ends"),
    "half a header": (SOUND[:9], "ends 7 bytes too early"),
    "wrong first byte": (b"\1" + SOUND[1:], "not with 00000803"),
    "floats": (header(2, 3, 4, kind=13) + bytes(96), "starts with 00000d03"),
    "labels where pictures belong": (header(24) + bytes(24), "starts with 00000801"),
    "four dimensions": (header(1, 2, 3, 4) + bytes(24), "starts with 00000804"),
    "text": (b"<html>not here</html>", "not an IDX file"),
    "overflow": (header(2**31, 2**31, 2**31) + bytes(24), "accepted: up to"),
    "largest sizes": (header(*(2**32 - 1,) * 3) + bytes(24), "accepted: up to"),
    "product that wraps to 24 in 64 bits": (header(2**31, 2**31, 4) + bytes(24), "accepted: up to"),
    "nothing": (header(0, 3, 4), "nothing"),
    "no columns": (header(2, 3, 0), "nothing"),
    "little-endian sizes": (header(2 << 24, 3 << 24, 4 << 24) + bytes(24), "accepted: up to"),
    "one byte short": (SOUND[:-1], "holds"),
    "one byte more": (SOUND + b"\0", "holds"),
    "header alone": (SOUND[:16], "holds"),
}
PACKED_UNSOUND = {
    "one byte short": (gzip.compress(SOUND[:-1]), "ends 1 bytes too early"),
    "one byte more": (gzip.compress(SOUND + b"\0"), "goes on after the 24 bytes"),
    "two members": (gzip.compress(SOUND) + gzip.compress(b"more"), "goes on"),
    "cut off": (gzip.compress(SOUND)[:-9], "damaged gzip"),
    "wrong checksum": (gzip.compress(SOUND)[:-8] + bytes(8), "damaged gzip"),
    "only the magic": (b"\x1f\x8b", "damaged gzip"),
    "rubbish inside": (gzip.compress(SOUND)[:12] + b"\xff" * 20, "damaged gzip|not an IDX"),
    "too large for its bytes": (gzip.compress(header(1000, 1000, 1000)), "is too short"),
    "bomb behind a small header": (gzip.compress(SOUND + bytes(50_000_000), 9), "goes on"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_idx(tmp_path, name):
    data, says = UNSOUND[name]
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UnreadableError, match=says) as caught:
        idx.read(tmp_path / "x", dimensions=3)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "x") in str(caught.value)
    if data:  # packed, the same header is no better
        (tmp_path / "x.gz").write_bytes(gzip.compress(data))
        with pytest.raises(UnreadableError):
            idx.read(tmp_path / "x.gz", dimensions=3)


@pytest.mark.parametrize("name", PACKED_UNSOUND)
def test_unsound_packed_idx(tmp_path, name):
    data, says = PACKED_UNSOUND[name]
    (tmp_path / "x.gz").write_bytes(data)
    with pytest.raises(UnreadableError, match=says) as caught:
        idx.read(tmp_path / "x.gz", dimensions=3)
    assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_any_mutation_is_sound_or_refused(tmp_path_factory, data):
    """A changed header or length never yields another size than the file has, nor another error."""
    packed = data.draw(st.booleans())
    raw = bytearray(gzip.compress(SOUND) if packed else SOUND)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(raw)
    try:
        values = idx.read(path, dimensions=3)
    except UnreadableError:
        return
    assert values.numel() == 24 or not packed
    assert packed or values.numel() == len(raw) - 16


def test_labels_must_match_pictures(tmp_path):
    x, y = pictures(4)
    (tmp_path / "x").write_bytes(idx_bytes(x))
    (tmp_path / "y").write_bytes(idx_bytes(y[:3]))
    with pytest.raises(UnreadableError, match=r"4 pictures, .* 3 labels"):
        idx.read_split(tmp_path / "x", tmp_path / "y", classes=10)
    y[2] = 255
    (tmp_path / "y").write_bytes(idx_bytes(y))
    with pytest.raises(UnreadableError, match="label 255 at row 2"):
        idx.read_split(tmp_path / "x", tmp_path / "y", classes=10)


def test_a_missing_or_barred_file_is_one_line(tmp_path):
    with pytest.raises(UnreadableError, match="No such file"):
        idx.read(tmp_path / "none", dimensions=1)
    with pytest.raises(UnreadableError, match="cannot read"):
        idx.read(tmp_path, dimensions=1)


# --- CIFAR-10 ---


def cifar_batches(per_batch: int = 6) -> dict[str, bytes]:
    drawn = np.random.default_rng(1)
    batches = {}
    for name in (*cifar.TRAIN, *cifar.TEST):
        records = drawn.integers(0, 256, (per_batch, cifar.RECORD), np.uint8)
        records[:, 0] %= 10
        batches[name] = records.tobytes()
    return batches


def write_archive(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_cifar_folder_and_archive_agree_with_the_published_layout(tmp_path):
    batches = cifar_batches()
    folder = tmp_path / cifar.FOLDER
    folder.mkdir()
    for name, data in batches.items():
        (folder / name).write_bytes(data)
    shuffled = ["data_batch_3.bin", "test_batch.bin", *[f"data_batch_{k}.bin" for k in (5, 1, 2, 4)]]
    write_archive(tmp_path / cifar.ARCHIVE, {f"{cifar.FOLDER}/{name}": batches[name] for name in shuffled})
    whole = np.frombuffer(b"".join(batches[name] for name in cifar.TRAIN), np.uint8).reshape(-1, 3073)
    for place in (folder, tmp_path / cifar.ARCHIVE):
        splits = cifar.read(place)
        assert splits["train"].y.tolist() == whole[:, 0].tolist()
        assert len(splits["test"]) == 6
        # row r, column c of channel k is byte 1 + 1024 k + 32 r + c
        assert int(splits["train"].x[7, 2, 5, 9]) == whole[7, 1 + 1024 * 2 + 32 * 5 + 9]
        assert (splits["train"].x.flatten(1).numpy() == whole[:, 1:]).all()
    found = load(Data(name="cifar10", held_out=0), where=tmp_path)
    assert found.classes[3] == "cat"
    assert len(found.train) == 30


def test_cifar_for_python_gives_the_same_pictures(tmp_path):
    """What Keras leaves in its folder."""
    batches = cifar_batches()
    (tmp_path / cifar.FOLDER).mkdir()
    folder = tmp_path / "keras" / "datasets" / cifar_pickle.FOLDER
    folder.mkdir(parents=True)
    for name, data in batches.items():
        (tmp_path / cifar.FOLDER / name).write_bytes(data)
        records = np.frombuffer(data, np.uint8).reshape(-1, cifar.RECORD)
        content = {
            b"batch_label": b"a batch",
            b"labels": records[:, 0].tolist(),
            b"data": records[:, 1:].copy(),
            b"filenames": [b"a.png"] * len(records),
        }
        (folder / name.removesuffix(".bin")).write_bytes(pickle.dumps(content, protocol=2))
    data = Data(name="cifar10")
    assert load(data).fingerprint == load(data, where=tmp_path).fingerprint
    assert load(data, where=folder).fingerprint == load(data, where=folder.parent).fingerprint


CIFAR_FAULTS = {
    "a batch missing": (lambda b: b.pop("data_batch_4.bin"), "has no data_batch_4.bin"),
    "a byte short": (lambda b: b.update({"data_batch_2.bin": b["data_batch_2.bin"][:-1]}), "records of 3073"),
    "empty": (lambda b: b.update({"test_batch.bin": b""}), "0 bytes"),
    "label 10": (
        lambda b: b.update({"test_batch.bin": b"\x0a" + b["test_batch.bin"][1:]}),
        "label 10 at row 0",
    ),
    "too many": (lambda b: b.update({"test_batch.bin": bytes(3073 * 10_001)}), "records of 3073"),
}


@pytest.mark.parametrize("fault", CIFAR_FAULTS)
@pytest.mark.parametrize("archived", [True, False])
def test_cifar_faults(tmp_path, fault, archived):
    batches = cifar_batches(2)
    change, says = CIFAR_FAULTS[fault]
    change(batches)
    place = tmp_path / (cifar.ARCHIVE if archived else cifar.FOLDER)
    if archived:
        write_archive(place, {f"{cifar.FOLDER}/{name}": data for name, data in batches.items()})
    else:
        place.mkdir()
        for name, data in batches.items():
            (place / name).write_bytes(data)
    with pytest.raises(UnreadableError, match=says) as caught:
        cifar.read(place)
    assert "\n" not in str(caught.value)


def test_hostile_archives_are_read_by_name_only(tmp_path):
    batches = cifar_batches(2)
    members = {f"{cifar.FOLDER}/{name}": data for name, data in batches.items()}
    write_archive(
        tmp_path / "a.tar.gz", {"../../evil": b"x", "/etc/evil": b"y", **members, "last": b"z" * 3000}
    )
    before = sorted(tmp_path.rglob("*"))
    assert len(cifar.read(tmp_path / "a.tar.gz")["train"]) == 10
    assert sorted(tmp_path.rglob("*")) == before
    data = (tmp_path / "a.tar.gz").read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 20):
        (tmp_path / "b.tar.gz").write_bytes(data[:cut])
        with pytest.raises(UnreadableError):
            cifar.read(tmp_path / "b.tar.gz")
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        for name in batches:
            info = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    with pytest.raises(UnreadableError, match=r"has no data_batch_1\.bin"):
        cifar.read(tmp_path / "c.tar.gz")


# --- digits ---


def test_digits_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.datasets")
    theirs = sklearn.load_digits()
    expected = {
        (np.rint(row * 255 / 16).astype(np.uint8).tobytes(), int(label))
        for row, label in zip(theirs.data, theirs.target)
    }
    splits = digits.read()
    ours = [
        (picture.numpy().tobytes(), int(label)) for s in splits.values() for picture, label in zip(s.x, s.y)
    ]
    assert len(ours) == 1797
    assert set(ours) == expected
    assert Counter(label for _, label in ours) == Counter(theirs.target.tolist())


def test_digits_need_nothing_and_are_stratified():
    data = load(Data(name="digits"))
    assert {name: len(s) for name, s in data.splits.items()} == {"train": 1294, "val": 144, "test": 359}
    whole = torch.cat([s.y for s in data.splits.values()]).bincount()
    for split, share in ((data.test, 0.2), (data.val, 0.08)):
        assert ((split.y.bincount() - share * whole).abs() <= 1.5).all()
    assert (data.train.x.max(), data.train.x.dtype) == (255, torch.uint8)
    with pytest.raises(UsageError, match="needs no files"):
        load(Data(name="digits"), where=Path("somewhere"))


# --- splits ---

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(LABELS, st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.integers(0, 3), st.booleans())
def test_hold_out_is_a_partition_that_leaves_every_class(labels, share, seed, keyed):
    y = torch.tensor(labels)
    keys = [f"picture {i}" for i in range(len(y))] if keyed else None
    keep, held = hold_out(y, share, seed, keys)
    assert sorted(torch.cat([keep, held]).tolist()) == list(range(len(y)))
    assert keep.tolist() == sorted(keep.tolist())
    assert set(y[keep].tolist()) == set(labels)
    again = hold_out(y, share, seed, keys)
    assert torch.equal(again[1], held)
    if not keyed:
        assert len(held) == min(round(share * len(y)), len(y) - len(set(labels)))


def test_hold_out_meets_its_share_in_every_class_and_depends_on_the_seed():
    y = torch.arange(10).repeat(600)
    _, held = hold_out(y, 0.2, 0)
    assert y[held].bincount().tolist() == [120] * 10
    other = hold_out(y, 0.2, 1)[1]
    overlap = len(set(held.tolist()) & set(other.tolist()))
    assert 160 < overlap < 320  # two independent fifths of 6000 share 240, standard deviation 12
    keyed = hold_out(y, 0.2, 0, [str(i) for i in range(len(y))])[1]
    assert ((y[keyed].bincount() - 120).abs() < 50).all()  # five standard deviations of a binomial


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sets(st.integers(0, 999), min_size=60, max_size=90), st.integers(0, 5))
def test_adding_files_moves_none(names, seed):
    ordered = [f"pictures/{name}.png" for name in sorted(names)]
    y = torch.zeros(len(ordered), dtype=torch.int64)
    some = ordered[::2]
    if len(hold_out(y[: len(some)], 0.2, seed, some)[1]) < 2:
        return  # the one that stands for a class with none may give way to a new one
    before = {some[i] for i in hold_out(y[: len(some)], 0.2, seed, some)[1]}
    after = {ordered[i] for i in hold_out(y, 0.2, seed, ordered)[1]}
    assert after & set(some) == before


def test_copies_stay_together():
    keys = [f"content {i // 3}" for i in range(300)]
    y = torch.arange(300) % 3  # copies under three labels
    _, held = hold_out(y, 0.3, 0, keys)
    assert set(Counter(keys[i] for i in held.tolist()).values()) == {3}
    one = hold_out(torch.zeros(5, dtype=torch.int64), 0.9, 0, ["same"] * 5)
    assert len(one[0]) == 5


def test_label_sets_are_stratified_by_set():
    y = torch.tensor([[1.0, 0, 1], [0, 1, 1], [1, 0, 0]]).repeat(40, 1)
    _, held = hold_out(y, 0.25, 0)
    assert [int((y[held] == row).all(1).sum()) for row in y[:3]] == [10, 10, 10]


def test_sample_is_stratified_exact_and_nested():
    y = torch.cat([torch.full((n,), k) for k, n in enumerate((500, 300, 200))])
    chosen = sample(y, 100, 0)
    assert y[chosen].bincount().tolist() == [50, 30, 20]
    assert set(sample(y, 10, 0).tolist()) < set(chosen.tolist())
    assert len(sample(y, 5000, 0)) == 1000


def test_parted_moves_rows_in_the_same_memory():
    x = torch.arange(5000).view(-1, 1).repeat(1, 3)
    second = torch.arange(5000) % 7 == 3
    second[-9:] = True
    rows = [(~second).nonzero().flatten(), second.nonzero().flatten()]
    expected, place = [x[part].clone() for part in rows], x.data_ptr()
    found = parted(x, *rows, chunk=64)
    assert all(torch.equal(got, want) for got, want in zip(found, expected, strict=True))
    assert [part.data_ptr() for part in found] == [place, place + len(rows[0]) * 3 * 8]


# --- Data and load ---


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"name": "mnis"}, UsageError, "did you mean 'mnist'"),
        ({"task": "colour"}, UsageError, "belongs to the data set shapes"),
        ({"held_out": 1.0}, ValidationError, "less than 1"),
        ({"limit": 0}, ValidationError, "greater than or equal to 1"),
        ({"val": "train"}, ValidationError, "held-out"),
        ({"path": "x"}, ValidationError, "Extra inputs"),
    ],
)
def test_data_refuses(fields, error, says):
    with pytest.raises(error, match=says):
        Data(**fields)


def test_data_survives_json_and_is_frozen():
    data = Data(name="shapes", task="both", held_out=0.25, limit=500, seed=3)
    assert Data.model_validate_json(data.model_dump_json()) == data
    with pytest.raises(ValidationError):
        data.seed = 4


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_places_in_their_order(tmp_path, monkeypatch, name):
    """Each place, once filled, wins over those after it; told apart by the number of pictures."""

    def count() -> int:
        return len(load(Data(name=name, held_out=0)).train)

    write_idx_set(tmp_path / "keras" / "datasets" / name, train=50)
    assert count() == 50
    write_idx_set(tmp_path / "home" / name, train=60)
    assert count() == 60
    write_idx_set(tmp_path / "data" / name, train=70)
    monkeypatch.setenv("NEOCOG_DATA", str(tmp_path / "data"))
    assert count() == 70
    write_idx_set(tmp_path / "here" / name, train=80)
    for where in (tmp_path / "here", tmp_path / "here" / name):
        assert len(load(Data(name=name, held_out=0), where=where).train) == 80
    with pytest.raises(UnreadableError, match=r"does not hold .* expected there: train-images-idx3-ubyte.gz"):
        load(Data(name=name), where=tmp_path)


def test_what_is_nowhere_is_downloaded(tmp_path, monkeypatch):
    def fetch(source: Source, folder: Path) -> Path:
        assert (source, folder) == (DATASETS["mnist"].remote, tmp_path / "home" / "mnist")
        write_idx_set(folder)
        return folder

    monkeypatch.setattr("neocog.downloads.download.fetch", fetch)
    assert len(load(Data(held_out=0)).train) == 40


def test_what_is_nowhere_and_cannot_be_downloaded(tmp_path):
    row = replace(DATASETS["fashion-mnist"], remote=None)
    with pytest.raises(UnreadableError, match=r"stamps is nowhere .* put train-images.*/stamps"):
        find("stamps", row, row.layout)
    write_idx_set(tmp_path / "home" / "stamps")
    assert len(find("stamps", row, row.layout).read(10)["train"]) == 40


def test_a_row_is_read_or_made():
    for wrong in ({"layout": None}, {"make": lambda data: None}):
        with pytest.raises(ValueError, match="give one of the two"):
            replace(DATASETS["mnist"], **wrong)
    assert DATASETS.get("nothing") is None
    assert "nothing" not in DATASETS


def test_keras_npz(tmp_path):
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    path = tmp_path / "keras" / "datasets" / "mnist.npz"
    x, y = pictures(30)
    np.savez_compressed(path, x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    data = load(Data(held_out=0))
    assert (data.train.x[:, 0].numpy() == x).all()
    assert data.test.y.tolist() == y[:10].tolist()
    objects = np.array([{"a": 1}] * 30)
    np.savez_compressed(path, x_train=x, y_train=objects, x_test=x, y_test=y)
    with pytest.raises(UnreadableError, match="holds object"):
        load(Data())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableError, match=r"not a sound mnist\.npz"):
        load(Data())


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    monkeypatch.setenv("NEOCOG_DATA", str(tmp_path / "data"))
    return write_idx_set(tmp_path / "data" / "mnist", train=200, test=30)


def test_held_out_pictures_leave_train(mnist):
    data = load(Data(held_out=0.2))
    assert {name: len(s) for name, s in data.splits.items()} == {"train": 160, "val": 40, "test": 30}
    x, y = mnist["train"]
    seen = [picture.numpy().tobytes() for s in (data.train, data.val) for picture in s.x]
    assert sorted(seen) == sorted(picture.tobytes() for picture in x)
    label = {picture.tobytes(): int(k) for picture, k in zip(x, y)}
    assert all(label[p.numpy().tobytes()] == int(k) for s in (data.train, data.val) for p, k in zip(s.x, s.y))
    assert not torch.equal(load(Data(held_out=0.2, seed=1)).val.x, data.val.x)


def test_val_says_what_is_watched(mnist):
    watched = load(Data(val="test"))
    assert watched.val is watched.test
    assert len(watched.train) == 200
    none = load(Data(val="none"))
    assert none.val is None
    assert len(none.train) == 200
    assert load(Data(held_out=0)).val is None


def test_limit_comes_after_holding_out(mnist):
    data, small = load(Data(held_out=0.2)), load(Data(held_out=0.2, limit=30))
    assert torch.equal(data.val.x, small.val.x)
    assert small.train.y.bincount().tolist() == [3] * 10
    assert any("30 of 160" in remark for remark in small.remarks)
    most = load(Data(held_out=0.2, limit=150))  # taken in place
    assert len(most.train) == 150
    assert {p.numpy().tobytes() for p in most.train.x} < {p.numpy().tobytes() for p in data.train.x}


def test_preprocess_places_every_picture(mnist):
    placing = Preprocess(size=(12, 10), channels=3, fit="stretch")
    data, placed = load(Data(val="test")), load(Data(val="test"), preprocess=placing)
    assert placed.shape == (3, 12, 10)
    assert placed.val is placed.test
    for k in (0, 57, 199):
        assert (placing.place(data.train.x[k, 0].numpy()) == placed.train.x[k].numpy()).all()
    same = load(Data(val="test"), preprocess=Preprocess(size=(28, 28)))
    assert same.fingerprint == data.fingerprint
    zoomed = load(Data(val="test"), preprocess=Preprocess(size=(28, 28), fit="crop", crop_share=0.5))
    assert zoomed.fingerprint != data.fingerprint


def test_classes_of_a_model_renumber_by_name(mnist):
    order = (*reversed(DATASETS["mnist"].classes), "x")
    plain, data = load(Data()), load(Data(), classes=order)
    assert [data.classes[k] for k in data.test.y] == [plain.classes[k] for k in plain.test.y]
    assert "no pictures of: x" in data.remarks
    with pytest.raises(UsageError, match="does not know: 9"):
        load(Data(), classes=DATASETS["mnist"].classes[:9])


def test_fingerprint_changes_with_a_pixel_a_label_and_a_name(mnist):
    data = load(Data())
    assert data.fingerprint == fingerprint(data) == load(Data()).fingerprint
    data.test.x[3, 0, 1, 1] ^= 1
    changed = fingerprint(data)
    data.test.y[0] = 5 - data.test.y[0]
    assert len({data.fingerprint, changed, fingerprint(data)}) == 3


def test_pictures_of_another_size_are_refused(tmp_path):
    folder = tmp_path / "home" / "mnist"
    write_idx_set(folder)
    for prefix, count in (("train", 40), ("t10k", 20)):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(idx_bytes(np.zeros((count, 20, 20), np.uint8)))
        )
    with pytest.raises(UnreadableError, match="20x20; mnist has 28x28"):
        load(Data())


def test_a_folder_needs_its_path_and_a_size(tmp_path):
    with pytest.raises(UsageError, match="needs the path"):
        load(Data(name="folder"))
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"not opened")
    with pytest.raises(UsageError, match="need one size"):
        load(Data(name="folder"), where=tmp_path)


def test_the_table_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, neocog.data; sys.exit(any(m in sys.modules for m in ('torch', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_published_files(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"no {name} in {REAL}")
    data = load(Data(name=name, val="none"), where=REAL)
    assert {split: len(s) for split, s in data.splits.items()} == dict(DATASETS[name].counts)
    assert data.shape == DATASETS[name].shape
    if name == "mnist":  # the published order begins 5 0 4 1 9; the mean brightness is 0.1307 of 255
        assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]
        assert abs(float(data.train.x.float().mean()) / 255 - 0.1307) < 5e-5
    else:
        assert data.train.y.bincount().tolist() == [6000] * 10
