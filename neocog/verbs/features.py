"""features: any layer's output for pictures, as numbers to work on elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from neocog.errors import UnreadableError, UsageError, escaped
from neocog.inside.capture import capture, layer_named
from neocog.model import Trained, open_trained
from neocog.outputs import cell, replacing, write_bytes
from neocog.pictures import reading
from neocog.show.words import percent, plural
from neocog.world import find
from neocog.zoo import ZOO

if TYPE_CHECKING:
    from neocog.runs.run import Run

BATCH = 32  # pictures in memory at a time; what a layer says of them may be much larger than they are
SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True, slots=True)
class Features:
    """What `layer` (full name) says of each picture: `values` float32 (N, ...), for pictures (N, C, h, w).

    channels first, as everywhere; Keras' order is `values.transpose(0, 2, 3, 1)`. `unread` are the files that
    could not be read, each with the reason; `remarks` say what was left out of folders.
    """

    layer: str
    files: tuple[str, ...]
    values: npt.NDArray[np.float32] = field(repr=False, compare=False)
    unread: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 where a picture could not be read."""
        return UnreadableError.exit_code if self.unread else 0

    def text(self) -> str:
        """Shape and range of what came out, one line a picture."""
        shape = "x".join(str(n) for n in self.values.shape[1:])
        lines = [f"{self.layer}: {shape} for each of {plural(len(self.files), 'picture')}"]
        for file, value in zip(self.files, self.values, strict=True):
            lines.append(
                escaped(f"{file}: mean {value.mean():.4g}, min {value.min():.4g}, max {value.max():.4g}, ")
                + f"{percent((value == 0).mean(), digits=0)} zeros"
            )
        lines += [escaped(f"{file}: {reason}") for file, reason in self.unread]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """Layer, shape and files, and `unread` where there are any; the numbers themselves are what `save` is
        for.
        """
        unread = [{"file": file, "error": reason} for file, reason in self.unread]
        return {
            "layer": self.layer,
            "shape": list(self.values.shape),
            "files": list(self.files),
            **({"unread": unread} if unread else {}),
        }

    def save(self, path: str | Path) -> None:
        """Write `.npz` (arrays `features`, `files`) or `.csv` (one row a picture, channels first)."""
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise UsageError(f"features are written as .npz or .csv, not as '{path.name}'")
        if path.suffix == ".csv":
            write_bytes(path, self._csv().encode())
            return
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file, features=self.values, files=np.array(self.files), layer=np.array(self.layer)
            )

    def _csv(self) -> str:
        flat = self.values.reshape(len(self.files), -1)
        lines = io.StringIO()
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(["file", *(f"f{n}" for n in range(flat.shape[1]))])
        for file, row in zip(self.files, flat, strict=True):
            table.writerow([cell(file), *(f"{value:.7g}" for value in row)])
        return lines.getvalue()


def features(
    what: str | Path | Run | Trained,
    images: Iterable[str | Path],
    *,
    layer: str,
    weights: str | Path | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """The output of `layer` of a run, a model file or a network of the zoo with `weights`, for pictures:
    files, folders (their pictures, in natural order) and globs.

    `layer` is a name as `neocog summary` lists it (with or without `features.`), a whole stage (pool4,
    bottleneck5), Keras' name of it (block4_pool), or its number in the summary. Pictures go through the
    network's Preprocess. `UsageError` lists the layers where the name is unknown. A file that cannot be read
    is listed in `unread` and does not stop the rest; `UnreadableError` where none can be read. `progress`
    hears how many pictures are read, of how many.
    """
    trained = open_trained(what, weights)
    row = ZOO.get(trained.model.name or "")
    name = layer_named(
        trained.network, str(layer), shape=trained.shape, aliases=row.aliases if row is not None else {}
    )
    given = reading.find(images)
    place = find(device, "float32").device
    network = trained.network.to(place)
    parts, read, unread = [], [], []
    for some in given.read(
        trained.preprocess.place, most=BATCH, progress=progress, wanted=trained.preprocess
    ):
        placed = [one.pixels for one in some if one.pixels is not None]
        read += [str(one.path) for one in some if one.pixels is not None]
        unread += [(str(one.path), one.error) for one in some if one.pixels is None]
        if placed:
            parts.append(_of_chunk(network, name, trained, torch.from_numpy(np.stack(placed)).to(place)))
    if not parts:
        raise UnreadableError(
            f"none of {len(given.files)} pictures could be read; {unread[0][0]}: {unread[0][1]}"
        )
    return Features(name, tuple(read), np.concatenate(parts), tuple(unread), given.remarks)


@torch.inference_mode()
def _of_chunk(
    network: torch.nn.Module, name: str, trained: Trained, placed: torch.Tensor
) -> npt.NDArray[np.float32]:
    with capture(network, [name]) as found:
        network(trained.preprocess.normalise(placed))
    return np.asarray(found[name].float().cpu().numpy())
