"""features: any layer's output for pictures, as numbers to work on elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neocog.errors import UsageError, escaped
from neocog.files import replacing, write_text
from neocog.inside.capture import capture, layer_named
from neocog.model import Trained, open_trained
from neocog.pictures.decode import decode
from neocog.run import Run
from neocog.world import find
from neocog.zoo import ZOO

BATCH = 32  # pictures in memory at a time; what a layer says of them may be much larger than they are
SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True, slots=True)
class Features:
    """What `layer` (full name) says of each picture: `values` float32 (N, ...), for pictures (N, C, h, w).

    channels first, as everywhere; Keras' order is `values.transpose(0, 2, 3, 1)`.
    """

    layer: str
    files: tuple[str, ...]
    values: npt.NDArray[np.float32] = field(repr=False, compare=False)

    def text(self) -> str:
        """Shape and range of what came out, one line a picture."""
        shape = "x".join(str(n) for n in self.values.shape[1:])
        lines = [f"{self.layer}: {shape} for each of {len(self.files)} pictures"]
        for file, value in zip(self.files, self.values, strict=True):
            lines.append(
                escaped(f"{file}: mean {value.mean():.4g}, min {value.min():.4g}, max {value.max():.4g}, ")
                + f"{(value == 0).mean():.0%} zeros"
            )
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """Layer, shape and files; the numbers themselves are what `save` is for."""
        return {"layer": self.layer, "shape": list(self.values.shape), "files": list(self.files)}

    def save(self, path: str | Path) -> None:
        """Write `.npz` (arrays `features`, `files`) or `.csv` (one row a picture, channels first)."""
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise UsageError(f"features are written as .npz or .csv, not as '{path.name}'")
        if path.suffix == ".csv":
            write_text(path, self._csv())
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
            table.writerow([f"'{file}" if file[:1] in "=+-@" else file, *(f"{value:.7g}" for value in row)])
        return lines.getvalue()


def features(
    what: str | Path | Run | Trained,
    images: Iterable[str | Path],
    *,
    layer: str,
    weights: str | Path | None = None,
    device: str = "auto",
) -> Features:
    """The output of `layer` of a run, a model file or a network of the zoo with `weights`, for picture files.

    `layer` is a name as `neocog summary` lists it (with or without `features.`), a whole stage (pool4,
    bottleneck5), Keras' name of it (block4_pool), or its number in the summary. Pictures go through the
    network's Preprocess. `UsageError` lists the layers where the name is unknown; `UnreadableError` names a
    file that is no picture.
    """
    trained = open_trained(what.path if isinstance(what, Run) else what, weights)
    row = ZOO.get(trained.model.name or "")
    name = layer_named(
        trained.network, str(layer), shape=trained.shape, aliases=row.aliases if row is not None else {}
    )
    files = [Path(image) for image in images]
    if not files:
        raise UsageError("no pictures were given; name the files")
    place = find(device, "float32").device
    network = trained.network.to(place)
    parts = [
        _of_chunk(network, name, trained, files[start : start + BATCH], place)
        for start in range(0, len(files), BATCH)
    ]
    return Features(name, tuple(str(file) for file in files), np.concatenate(parts))


@torch.inference_mode()
def _of_chunk(
    network: torch.nn.Module, name: str, trained: Trained, files: Sequence[Path], device: torch.device
) -> npt.NDArray[np.float32]:
    placed = torch.from_numpy(np.stack([trained.preprocess.place(decode(file)) for file in files]))
    with capture(network, [name]) as found:
        network(trained.preprocess.normalise(placed.to(device)))
    return np.asarray(found[name].float().cpu().numpy())
