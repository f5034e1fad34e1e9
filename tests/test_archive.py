"""Archives: honest ones arrive whole, hostile ones leave no trace.

After every refusal the whole neighbourhood of the destination is compared with what was there before.
"""

from __future__ import annotations

import errno
import gzip
import io
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from neocog.errors import UnreadableError, UsageError, error_line
from neocog.pictures import unpack as module
from neocog.pictures.unpack import unpack

PICTURE = bytes(random.Random(0).randbytes(3000))
TREE = {
    "train/cat/1.jpg": PICTURE,
    "train/dog/2 (ü).jpg": PICTURE[:100],
    "train/dog/empty.png": b"",
    "labels.txt": b"cat",
}


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members:
            if isinstance(name, zipfile.ZipInfo):
                name.compress_type = method
            file.writestr(name, data)
    return out.getvalue()


def tarred(
    *members: tuple[str | tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT, mode: str = "w:gz"
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as file:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unix(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def claimed(data: bytes, size: int) -> bytes:
    """The one-member zip `data`, claiming another unpacked size in both of its headers."""
    old = struct.pack("<L", len(PICTURE))
    assert data.count(old) == 2
    return data.replace(old, struct.pack("<L", size))


def overlapping() -> bytes:
    """Two entries of the directory that point at one member's bytes."""
    one = bytearray(zipped(("a.jpg", PICTURE)))
    start = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    second = one[start:end].replace(b"a.jpg", b"b.jpg")
    tail = one[end:]
    struct.pack_into("<HHL", tail, 8, 2, 2, 2 * (end - start))
    return bytes(one[:end] + second + tail)


def long_name_chain() -> bytes:
    """Headers that each announce a long name, one after the other: the library recurses."""
    block = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    block.size = 5
    piece = block.tobuf(tarfile.GNU_FORMAT) + b"a.jpg".ljust(512, b"\0")
    return piece * 3000


def huge_header() -> bytes:
    """A long name of eight gigabytes."""
    block = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    block.size = 8 << 30
    return block.tobuf(tarfile.GNU_FORMAT) + bytes(512)


def corrupt_second_header() -> bytes:
    data = bytearray(tarred(("a.jpg", PICTURE), ("b.jpg", PICTURE), form=tarfile.USTAR_FORMAT, mode="w"))
    data[512 + 3072 + 20] ^= 0xFF
    return bytes(data)


def sparse() -> bytes:
    info = special("a.jpg", tarfile.GNUTYPE_SPARSE)
    return tarred((info, b""), form=tarfile.GNU_FORMAT)


def pax_sparse() -> bytes:
    info = tarfile.TarInfo("a.jpg")
    info.pax_headers = {"GNU.sparse.map": "0,10", "GNU.sparse.size": str(1 << 40)}
    return tarred((info, PICTURE))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def encrypted() -> bytes:
    data = bytearray(zipped(("a.jpg", PICTURE)))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


P = PICTURE
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip up": (lambda: zipped(("../evil.jpg", P)), "leads out"),
    "zip up later": (lambda: zipped(("ok.jpg", P), ("a/../../evil.jpg", P)), "leads out"),
    "zip up inside": (lambda: zipped(("a/../b.jpg", P)), "leads out"),
    "zip absolute": (lambda: zipped(("/tmp/evil.jpg", P)), "absolute path"),
    "zip drive": (lambda: zipped(("C:/evil.jpg", P)), "absolute path"),
    "zip drive relative": (lambda: zipped(("C:evil.jpg", P)), "absolute path"),
    "zip share": (lambda: zipped(("\\\\host\\share\\evil.jpg", P)), "absolute path"),
    "zip backslash": (lambda: zipped(("..\\evil.jpg", P)), "backslash"),
    "zip newline": (lambda: zipped(("a\nb.jpg", P)), "control characters"),
    "zip escape": (lambda: zipped(("a\x1b[2J.jpg", P)), "control characters"),
    "zip folder up": (lambda: zipped(("../evil/", b""), ("a.jpg", P)), "leads out"),
    "zip no name": (lambda: zipped(("./.", P)), "no name"),
    "zip long name": (lambda: zipped(("a" * 300, P)), "too long"),
    "zip deep": (lambda: zipped(("a/" * 100 + "b.jpg", P)), "too deep"),
    "zip symlink": (lambda: zipped((unix("link", stat.S_IFLNK | 0o777), b"/etc/passwd")), "link or device"),
    "zip link as folder": (lambda: zipped((unix("link/", stat.S_IFLNK | 0o777), b"/etc")), "link or device"),
    "zip fifo": (lambda: zipped((unix("pipe", stat.S_IFIFO | 0o666), b"")), "link or device"),
    "zip device": (lambda: zipped((unix("dev", stat.S_IFCHR | 0o666), b"")), "link or device"),
    "zip case": (lambda: zipped(("a/Cat.jpg", P), ("a/cat.jpg", P)), "twice, or differs"),
    "zip folder case": (lambda: zipped(("Cat/1.jpg", P), ("cat/2.jpg", P)), "differ only in case"),
    "zip unicode form": (lambda: zipped(("caf\u00e9.jpg", P), ("cafe\u0301.jpg", P)), "twice, or differs"),
    "zip trailing dot": (lambda: zipped(("a.jpg", P), ("a.jpg.", P)), "twice, or differs"),
    "zip file then folder": (lambda: zipped(("a", P), ("a/b.jpg", P)), "both a file and a folder"),
    "zip folder then file": (lambda: zipped(("a/b.jpg", P), ("a", P)), "both a file and a folder"),
    "zip bomb": (lambda: zipped(("a.png", bytes(50 << 20))), "archive bomb"),
    "zip overlap": (overlapping, "shares bytes"),
    "zip claims less": (lambda: claimed(zipped(("a.jpg", P)), 10), ""),
    "zip claims more": (lambda: claimed(zipped(("a.jpg", P)), 5000), ""),
    "zip claims 4 GB": (lambda: claimed(zipped(("a.jpg", P)), 0xFFFFFFF0), "archive bomb"),
    "zip bad checksum": (lambda: flipped(zipped(("a.jpg", P), method=zipfile.ZIP_STORED), 500), "damaged"),
    "zip encrypted": (encrypted, "encrypted"),
    "zip bzip2": (lambda: zipped(("a.jpg", P), method=zipfile.ZIP_BZIP2), "method 12"),
    "zip lzma": (lambda: zipped(("a.jpg", P), method=zipfile.ZIP_LZMA), "method 14"),
    "zip empty": (lambda: zipped(), "holds no files"),
    "zip folders only": (lambda: zipped(("a/", b"")), "holds no files"),
    "zip half": (lambda: zipped(("a.jpg", P))[:1500], "damaged"),
    "tar up": (lambda: tarred(("../evil.jpg", P)), "leads out"),
    "tar absolute": (lambda: tarred(("/tmp/evil.jpg", P)), "absolute path"),
    "tar folder up": (lambda: tarred((special("../evil", tarfile.DIRTYPE), b""), ("a.jpg", P)), "leads out"),
    "tar symlink": (lambda: tarred((special("a", tarfile.SYMTYPE, "/etc/passwd"), b"")), "link, device"),
    "tar symlink then through": (
        lambda: tarred((special("a", tarfile.SYMTYPE, ".."), b""), ("a/evil.jpg", P)),
        "link, device",
    ),
    "tar hard link": (lambda: tarred((special("a", tarfile.LNKTYPE, "../secret"), b"")), "link, device"),
    "tar hard link inside": (lambda: tarred((special("a", tarfile.LNKTYPE, "archive"), b"")), "link"),
    "tar fifo": (lambda: tarred((special("a", tarfile.FIFOTYPE), b"")), "link, device"),
    "tar character device": (lambda: tarred((special("a", tarfile.CHRTYPE), b"")), "link, device"),
    "tar block device": (lambda: tarred((special("a", tarfile.BLKTYPE), b"")), "link, device"),
    "tar unknown type": (lambda: tarred((special("a", b"Z"), b"")), "link, device"),
    "tar sparse": (sparse, ""),
    "tar pax sparse": (pax_sparse, ""),
    "tar twice": (lambda: tarred(("a.jpg", P), ("./a.jpg", P)), "twice"),
    "tar case": (lambda: tarred(("a.jpg", P), ("A.JPG", P)), "twice, or differs"),
    "tar bomb": (lambda: tarred(("a.png", bytes(50 << 20))), "archive bomb"),
    "tar bomb in padding": (lambda: tarred(("a.jpg", P)) + gzip.compress(bytes(50 << 20)), "archive bomb"),
    "tar name chain": (long_name_chain, ""),
    "tar huge name": (huge_header, "damaged"),
    "tar corrupt header": (corrupt_second_header, "damaged or cut off"),
    "tar cut between members": (lambda: tarred(("a.jpg", P), mode="w")[:3584], "cut off"),
    "tar cut in a member": (lambda: tarred(("a.jpg", P), mode="w")[:2000], "cut off"),
    "tar.gz half": (lambda: tarred(("a.jpg", P))[:1500], "damaged"),
    "tar.gz bad checksum": (lambda: (lambda d: flipped(d, len(d) - 8))(tarred(("a.jpg", P))), "damaged"),
    "gzip, no tar": (lambda: gzip.compress(b"hello " * 1000), "damaged"),
    "picture": (lambda: b"\xff\xd8\xff\xe0" + P, "no zip, tar or tar.gz"),
    "seven-zip": (lambda: b"7z\xbc\xaf\x27\x1c" + P, "no zip, tar or tar.gz"),
    "nothing": (lambda: b"", "no zip, tar or tar.gz"),
}  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: contents, link targets, None for folders."""

    def content(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return str(path.readlink())
        return path.read_bytes() if path.is_file() else None

    return {str(path.relative_to(folder)): content(path) for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_no_trace(tmp_path: Path, name: str) -> None:
    make, says = HOSTILE[name]
    (tmp_path / "secret").write_bytes(b"secret")
    packed = tmp_path / "archive"
    packed.write_bytes(make())
    (tmp_path / "deep" / "er").mkdir(parents=True)
    before = snapshot(tmp_path)
    with pytest.raises(UnreadableError) as caught:
        unpack(packed, tmp_path / "deep" / "er" / "out")
    assert snapshot(tmp_path) == before
    line = error_line(caught.value)
    assert says in line
    assert str(packed) in line
    assert "\n" not in line


def test_there_are_enough_hostile_archives() -> None:
    assert len(HOSTILE) >= 60


FORMS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zipped(*TREE.items()),
    "zip stored": lambda: zipped(*TREE.items(), method=zipfile.ZIP_STORED),
    "zip with folders": lambda: zipped(("train/", b""), *TREE.items()),
    "zip from unix": lambda: zipped(*((unix(n, stat.S_IFREG | 0o4777), data) for n, data in TREE.items())),
    "tar": lambda: tarred(*TREE.items(), mode="w"),
    "tar.gz": lambda: tarred(*TREE.items()),
    "tar.gz gnu": lambda: tarred(*TREE.items(), form=tarfile.GNU_FORMAT),
    "tar.gz ustar": lambda: tarred(*TREE.items(), form=tarfile.USTAR_FORMAT),
    "tar.gz with folders": lambda: tarred(
        (special("./", tarfile.DIRTYPE), b""), *((f"./{name}", data) for name, data in TREE.items())
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_honest_archive_arrives_whole(tmp_path: Path, form: str) -> None:
    (tmp_path / "a").write_bytes(FORMS[form]())
    out = unpack(tmp_path / "a", tmp_path / "new" / "out")
    assert out == tmp_path / "new" / "out"
    assert {name: data for name, data in snapshot(out).items() if data is not None} == TREE
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    for path in out.rglob("*"):
        if path.is_file():
            assert not path.stat().st_mode & (stat.S_ISUID | stat.S_IXUSR), "an archive sets no mode"


def test_long_names_of_both_tar_dialects(tmp_path: Path) -> None:
    name = "/".join(["folder with a long name" * 5] * 3) + "/" + "x" * 200
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        (tmp_path / "a").write_bytes(tarred((name, PICTURE), form=form))
        assert (unpack(tmp_path / "a", tmp_path / str(form)) / name).read_bytes() == PICTURE


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_limits_hold_to_the_file_and_byte(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    (tmp_path / "a").write_bytes(pack(*((f"{i}.jpg", PICTURE) for i in range(10))))
    unpack(tmp_path / "a", tmp_path / "fits", max_files=10, max_bytes=10 * len(PICTURE))
    with pytest.raises(UnreadableError, match="more than 9 files"):
        unpack(tmp_path / "a", tmp_path / "out", max_files=9)
    with pytest.raises(UnreadableError, match="more than 4 files"):
        unpack(tmp_path / "a", tmp_path / "out", max_files=4)
    with pytest.raises(UnreadableError, match="more than 29999 bytes"):
        unpack(tmp_path / "a", tmp_path / "out", max_bytes=10 * len(PICTURE) - 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_the_ratio_is_a_choice(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    (tmp_path / "a").write_bytes(pack(("flat.bmp", bytes(4 << 20))))
    with pytest.raises(UnreadableError, match="archive bomb"):
        unpack(tmp_path / "a", tmp_path / "out")
    assert (unpack(tmp_path / "a", tmp_path / "out", max_ratio=2000) / "flat.bmp").stat().st_size == 4 << 20


def test_one_file_may_not_be_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2999)
    (tmp_path / "a").write_bytes(zipped(("a.jpg", PICTURE)))
    with pytest.raises(UnreadableError, match="has 3000 bytes; a picture may have 2999"):
        unpack(tmp_path / "a", tmp_path / "out")


def test_a_place_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(zipped(("a.jpg", PICTURE)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for place in ("full", "a", "link"):
        with pytest.raises(UsageError, match="is there already"):
            unpack(tmp_path / "a", tmp_path / place)
    (tmp_path / "empty").mkdir()
    assert (unpack(tmp_path / "a", tmp_path / "empty") / "a.jpg").read_bytes() == PICTURE


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="No such file"):
        unpack(tmp_path / "none.zip", tmp_path / "out")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(zipped(*TREE.items()))

    def full(self: object, name: str, data: object, *, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module._Unpacking, "save", full)
    with pytest.raises(UnreadableError, match="No space left on device; free space there"):
        unpack(tmp_path / "a", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def mutations(count: int, seed: int) -> list[bytes]:
    """Honest archives with bytes changed, cut out, doubled or cut off."""
    rng = random.Random(seed)
    seeds = [make() for make in FORMS.values()]
    results = []
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(max(len(data), 1))
            match rng.randrange(5):
                case 0 if data:
                    data[at] ^= 1 << rng.randrange(8)
                case 1 if data:
                    data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    del data[at : at + rng.randrange(1, 60)]
                case 3:
                    data[at:at] = data[at : at + rng.randrange(1, 600)]
                case 4:
                    del data[max(at, 1) :]
        results.append(bytes(data))
    return results


@pytest.mark.parametrize("count", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_mutated_archives_are_unpacked_inside_or_refused(tmp_path: Path, count: int) -> None:
    (tmp_path / "deep").mkdir()
    packed, out = tmp_path / "archive", tmp_path / "deep" / "out"
    for i, data in enumerate(mutations(count, seed=count)):
        packed.write_bytes(data)
        try:
            unpack(packed, out)
        except UnreadableError:
            assert not out.exists(), i
        else:
            assert all(path.is_file() or path.is_dir() for path in out.rglob("*") if not path.is_symlink())
            assert not any(path.is_symlink() for path in out.rglob("*"))
            out.rename(tmp_path / "deep" / "done")
            module.shutil.rmtree(tmp_path / "deep" / "done")
        assert {path.name for path in tmp_path.iterdir()} == {"archive", "deep"}, i
        assert list((tmp_path / "deep").iterdir()) == [], i


def directory(entries: int, *, said: int) -> bytes:
    """A zip that is nothing but a list of files, and says of them that they are `said` many."""
    entry = zipped(("a", b""))
    one = entry[entry.index(b"PK\1\2") : entry.index(b"PK\5\6")]
    size = entries * len(one)
    return b"PK\3\4" + one * entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, said, said, size, 4, 0)


@pytest.mark.parametrize("said", [1, 65_535])
def test_a_zip_of_a_million_entries_is_refused_before_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    (tmp_path / "a.zip").write_bytes(directory(1_000_000, said=said))
    monkeypatch.setattr(zipfile, "ZipFile", None)  # it would make an object of each
    with pytest.raises(UnreadableError, match="lists more than 400,000 files; unpack it"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()
