"""Sealed tensor files: safetensors with a JSON document in the metadata and a SHA-256 over every byte of the
file.

The digest stands in the header as 64 hex digits; it is that of the file with those digits written as zeros.
So one file holds everything, and a single changed byte anywhere is noticed. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neocog.errors import UnreadableError
from neocog.files import replacing

MARK = rb"{\"sha256\":\""  # as it stands in the header: the document is JSON within JSON
BLANK = "0" * 64
SAVING = "Error while serializing: I/O error: "
HEADER_CEILING = 16 << 20  # bytes; our largest network needs well under 1 MiB


def write(path: Path, tensors: Mapping[str, Tensor], document: dict[str, Any]) -> None:
    """Write `tensors` and `document` to `path`, atomically. Tensors are stored contiguous, on the CPU."""
    with replacing(path) as temporary:
        fill(temporary, tensors, document)


def fill(path: Path, tensors: Mapping[str, Tensor], document: dict[str, Any]) -> None:
    """Write them to the temporary file `path` of a `replacing`. `OSError` says what the disk says."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry only: safetensors writes several in no fixed order, and one model shall be the same bytes.
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    metadata = {"neocog": f'{{"sha256":"{BLANK}","document":{text}}}'}
    try:
        save_file(plain, str(path), metadata=metadata)
    except SafetensorError as error:  # the disk's words, which are in no OSError
        raise OSError(str(error).removeprefix(SAVING)) from error
    place, computed = _digest(path)
    with path.open("rb+") as file:
        file.seek(place)
        file.write(computed.encode())


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the document of a sealed file; `UnreadableError` where any byte is not as written."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        place, computed = _digest(path)
        with path.open("rb") as file:
            file.seek(place)
            if file.read(64) != computed.encode():
                raise UnreadableError(
                    f"{path} was changed after it was written (its SHA-256 does not match); restore it"
                )
        # Copies: the file stays mapped as long as its own tensors live, and what is mapped can be cut under a
        # reader everywhere, and not replaced on Windows.
        return {name: tensor.clone() for name, tensor in load_file(str(path)).items()}, document(path)
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, KeyError, torch.cuda.OutOfMemoryError) as error:
        raise UnreadableError(f"{path} is not a file that neocog wrote, or is cut off: {error}") from error


def document(path: Path) -> dict[str, Any]:
    """The JSON document of a sealed file, without its tensors and without checking the digest."""
    try:
        return dict(json.loads(json.loads(_header(path))["__metadata__"]["neocog"])["document"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError(f"{path} is not a file that neocog wrote: {error}") from error


def digest(path: Path) -> str:
    """The SHA-256 that stands in a sealed file, as 64 hex digits; that the file fits it is not checked."""
    try:
        place, header = _mark(path)
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
    return header[place : place + 64].decode("ascii", "replace")


def is_sealed(path: Path) -> bool:
    """Whether `path` looks like a file that `write` made."""
    try:
        return MARK in _header(path)
    except (OSError, UnreadableError):
        return False


def _header(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(HEADER_CEILING, size - 8):
            raise UnreadableError(f"{path} is not a safetensors file, or is cut off ({size} bytes)")
        return file.read(length)


def _mark(path: Path) -> tuple[int, bytes]:
    """Where the digest's digits stand in the header, and the header."""
    header = _header(path)
    at = header.find(MARK)
    if at < 0:
        raise UnreadableError(f"{path} carries no SHA-256, so it is not a file that neocog wrote")
    return at + len(MARK), header


def _digest(path: Path) -> tuple[int, str]:
    """Where the digest's digits stand in the file, and the SHA-256 of the file with them as zeros."""
    place = 8 + _mark(path)[0]
    found = hashlib.sha256()
    with path.open("rb") as file:
        found.update(file.read(place) + BLANK.encode())
        file.seek(place + 64)
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return place, found.hexdigest()
