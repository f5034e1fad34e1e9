"""Canvas: the file beside the result from which an unfinished painting goes on, to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from neocog import sealed
from neocog.errors import UnreadableError
from neocog.style.painting import Painting, State

FORMAT = 1
SUFFIX = ".painting.safetensors"


def beside(out: Path) -> Path:
    """Where the state of the painting that becomes `out` is kept."""
    return out.with_name(out.name + SUFFIX)


def write(path: Path, painting: Painting, facts: dict[str, Any]) -> None:
    """Everything that changes while painting, and `facts`, which do not, at `path`, atomically."""
    state = painting.state
    tensors, numbers = state.descent.state()
    held = {"pixels": state.pixels, "sum": state.sum, **{f"descent/{n}": t for n, t in tensors.items()}}
    document = {"format": FORMAT, "step": state.step, "mass": state.mass, "descent": numbers, "facts": facts}
    sealed.write(path, held, document)


def facts_of(path: Path) -> dict[str, Any]:
    """The facts in the file at `path`. `UnreadableError` where it is no such file."""
    if not path.exists():
        raise UnreadableError(f"there is no unfinished painting at {path}; start one: neocog stylize")
    document = sealed.document(path)
    if "facts" not in document or document["format"] > FORMAT:
        raise UnreadableError(f"{path} is no unfinished painting that this version reads; start again")
    return dict(document["facts"])


def load(path: Path, painting: Painting) -> None:
    """Put what was saved at `path` into `painting`."""
    tensors, document = sealed.read(path)
    device = painting.backbone.device
    state = State(tensors["pixels"].to(device), painting.settings, step=document["step"])
    state.sum, state.mass = tensors["sum"].to(device), document["mass"]
    remembered: dict[str, Tensor] = {
        name.removeprefix("descent/"): tensor
        for name, tensor in tensors.items()
        if name.startswith("descent/")
    }
    state.descent.load(remembered, document["descent"])
    painting.state = state
