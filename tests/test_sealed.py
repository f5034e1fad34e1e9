"""A sealed file comes back as it was written, and not at all when a byte of it was changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neocog import sealed
from neocog.errors import UnreadableError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    sealed.write(
        path, {"w": torch.arange(12.0).view(3, 4), "n": torch.tensor(7)}, {"classes": ["ä", 'q"'], "x": 0.1}
    )
    return path


def test_round_trip(path: Path) -> None:
    tensors, document = sealed.read(path)
    assert torch.equal(tensors["w"], torch.arange(12.0).view(3, 4))
    assert tensors["n"].item() == 7
    assert document == {"classes": ["ä", 'q"'], "x": 0.1} == sealed.document(path)


def test_channels_last_weights_keep_their_values(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    sealed.write(tmp_path / "b", {"w": weight}, {})
    assert torch.equal(sealed.read(tmp_path / "b")[0]["w"], weight)


def test_same_content_same_bytes(path: Path, tmp_path: Path) -> None:
    tensors, document = sealed.read(path)
    sealed.write(tmp_path / "again", tensors, document)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_digest_that_stands_in_a_file(path: Path, tmp_path: Path) -> None:
    """It is that of the bytes with its own 64 digits as zeros; a file without one is refused."""
    digest, whole = sealed.digest(path), path.read_bytes()
    assert whole.count(digest.encode()) == 1
    assert hashlib.sha256(whole.replace(digest.encode(), b"0" * 64)).hexdigest() == digest
    save_file({"w": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    for other in ("other.safetensors", "none.safetensors"):
        with pytest.raises(UnreadableError, match=other):
            sealed.digest(tmp_path / other)


def test_every_single_changed_byte_is_refused(path: Path) -> None:
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x01]) + good[place + 1 :])
        with pytest.raises(UnreadableError):
            sealed.read(path)
    path.write_bytes(good)
    sealed.read(path)


def test_every_truncation_and_an_extension_are_refused(path: Path) -> None:
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(UnreadableError):
            sealed.read(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(UnreadableError):
        sealed.read(path)


def test_a_missing_or_foreign_file_is_refused_in_one_line(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(UnreadableError, match="cannot read"):
        sealed.read(tmp_path / "none")
    save_file({"w": torch.ones(2)}, str(tmp_path / "foreign"))
    with pytest.raises(UnreadableError, match="carries no SHA-256"):
        sealed.read(tmp_path / "foreign")
    assert not sealed.is_sealed(tmp_path / "foreign")
