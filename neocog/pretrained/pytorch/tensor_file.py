"""Other people's tensor files: safetensors, and torch's `.pt` and `.pth`; the quarantine of `torch.load`.

`.pt` files are pickles. They are read with `weights_only=True`, which admits tensors and plain containers and
nothing that runs; this is the one module of the package that may do so. Prefer safetensors where both exist.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neocog.errors import UnreadableError

SAFE = (".safetensors",)
PICKLED = (".pt", ".pth", ".th", ".bin")
_WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema")
"""Keys under which trainers put the state dict beside other things."""


@dataclass(frozen=True, slots=True)
class TensorFile:
    """The tensors of a file by name, and its metadata (safetensors alone has any)."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> TensorFile:
    """The tensors of `path`, by its ending. `UnreadableError` where it is damaged, or holds no tensors."""
    if not path.is_file():
        raise UnreadableError(f"there is no weights file at {path}")
    if path.suffix in SAFE:
        return _safe(path)
    if path.suffix in PICKLED:
        return TensorFile(_state_dict(_unpickled(path), path))
    accepted = " ".join((*SAFE, *PICKLED, ".h5", ".keras"))
    raise UnreadableError(f"{path.name} has an ending that no kind of weights has (accepted: {accepted})")


def _safe(path: Path) -> TensorFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
            return TensorFile(tensors, dict(file.metadata() or {}))
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UnreadableError(f"{path} is no safetensors file, or is cut off: {error}") from error


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # about old pickle protocols, which are read or refused all the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableError(
            f"{path} is no file of tensors alone, or is cut off ({reason[:120]}); save its state_dict() "
            "as safetensors"
        ) from error


def _state_dict(found: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what was read: itself, under one of the usual keys, or the only one under any key."""
    if _is_state_dict(found):
        return {str(name): tensor for name, tensor in found.items()}
    inside = found if isinstance(found, Mapping) else {}
    held = {key: value for key, value in inside.items() if _is_state_dict(value)}
    for key in _WRAPPERS if len(held) > 1 else held:
        if key in held:
            return {str(name): tensor for name, tensor in held[key].items()}
    raise UnreadableError(f"{path} holds no state dict; save model.state_dict(), as safetensors if you can")


def config_beside(path: Path) -> dict[str, Any]:
    """timm's `config.json` in the folder of a weights file from the hub; empty where there is none."""
    beside = path.with_name("config.json")
    try:
        document = json.loads(beside.read_bytes()) if beside.is_file() else {}
    except (OSError, ValueError):
        return {}
    pretrained = document.get("pretrained_cfg") if isinstance(document, dict) else None
    return dict(pretrained) if isinstance(pretrained, dict) else {}


def _is_state_dict(found: Any) -> bool:
    return isinstance(found, Mapping) and bool(found) and all(isinstance(v, Tensor) for v in found.values())
