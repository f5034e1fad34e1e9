"""Trained: a network with its preprocessing, class names and provenance; the model file that holds them;
`open_trained`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from neocog import sealed
from neocog.data.batches import plain_batches
from neocog.data.damage import Damage
from neocog.data.dataset import Dataset, Split
from neocog.data.names import some
from neocog.data.posed import posed
from neocog.errors import NeocogError, UnreadableError, UsageError, first_complaint, unknown
from neocog.files import named_as_path, require_named, write_json
from neocog.pictures.decode import Preprocess
from neocog.tasks.doubt import Doubt, Tempered, from_file, unpacked
from neocog.tasks.table import TASKS
from neocog.tasks.task import Onlooker, Result, Task, nobody
from neocog.tasks.task import measure as measure_task
from neocog.zoo import ZOO, Model, Shape, build
from neocog.zoo.blocks import Network

if TYPE_CHECKING:
    from neocog.data.choice import Divide
    from neocog.data.folders.picture_cache import Progress
    from neocog.pretrained.published import Published

FORMAT = 1
MODEL_FILE = "model.safetensors"
DOUBT = "doubt/"
"""Before the names of the tensors that are no weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What every verb but `train` works on. `network` is in evaluation mode, float32, on the CPU.

    `provenance` says where it comes from: run, data set and its fingerprint, epoch, metrics, versions.
    `doubt` says when not to believe an answer, where that was fixed.
    """

    network: Network
    model: Model
    shape: Shape
    classes: tuple[str, ...]
    preprocess: Preprocess
    task: str = "classify"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    doubt: Doubt | None = None
    path: Path | None = None

    def document(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {
            "format": FORMAT,
            "model": self.model.json(),
            "shape": list(self.shape),
            "classes": list(self.classes),
            "preprocess": self.preprocess.model_dump(mode="json"),
            "task": self.task,
            "provenance": dict(self.provenance),
            **({"doubt": self.doubt.json()} if self.doubt is not None else {}),
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights, and what the doubt holds beside them."""
        kept = self.doubt.tensors() if self.doubt is not None else {}
        return {**self.network.state_dict(), **{DOUBT + name: tensor for name, tensor in kept.items()}}

    @property
    def judge(self) -> nn.Module:
        """The network as it answers: its outputs divided by the temperature, where there is one."""
        if self.doubt is None or self.doubt.temperature == 1.0:
            return self.network
        return Tempered(self.network, self.doubt.temperature)

    def measure(
        self, split: Split, name: str, device: torch.device, *, onlooker: Onlooker = nobody
    ) -> Result:
        """The network on `split`, in float32: the one measurement behind every figure that is reported.

        `onlooker` sees every batch's logits and truth, in order.
        """
        judge = self.judge.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        batches = plain_batches(split, self.preprocess, device=device)
        return measure_task(self.answers, judge, batches, name, onlooker=onlooker).beside(split)

    @property
    def answers(self) -> Task:
        """The task, as far as answering is concerned."""
        return TASKS[self.task](self.classes, preprocess=self.preprocess)

    def require_names(self) -> None:
        """`UsageError` where the network gives pictures back and no names."""
        if self.damage is not None:
            raise UsageError("this network restores pictures and names none: neocog restore RUN IMAGES")

    @property
    def damage(self) -> Damage | None:
        """What the pictures were damaged by that the network learned to restore; None for other networks."""
        said = self.provenance.get("damage")
        return Damage.model_validate(said) if said is not None else None


def dataset_of(
    trained: Trained, data: str | Path | None = None, *, progress: Progress | None = None
) -> Dataset:
    """The data set that `trained` belongs to, placed by its Preprocess, labels by name in its order; or
    `data` in its place. For a network that restores they are damaged as its training damaged held-out ones.

    Of a folder that `trained` has not seen, and that says no split, every picture is a test picture.
    """
    from neocog.data import DATASETS, Data
    from neocog.data import load as load_data
    from neocog.data.choice import OWN
    from neocog.data.own import open_own

    require_named(data)
    if "data" not in trained.provenance and data is None:
        raise UsageError("these weights bring no data set; say which: --data NAME or FOLDER")
    part = Data.model_validate(trained.provenance.get("data", {"name": "folder"}))
    where = None
    if data is not None and str(data) in DATASETS and not Path(data).exists():
        part = part if part.name == str(data) else Data(name=str(data))
    elif data is not None:
        part, where = (part if part.name in OWN else Data(name="folder")), Path(data)
    elif part.name in OWN:
        where = _trained_on(trained)
        if where is None:
            raise UsageError(
                "this model was trained on a folder of pictures that is not known here; "
                "say which: --data FOLDER"
            )
        require_there(where)

    opened = None
    if where is not None and part.name == "folder":
        opened = open_own(where, classes=trained.classes)

    def read(divide: Divide) -> Dataset:
        dataset = load_data(
            part,
            where=where,
            opened=opened,
            preprocess=trained.preprocess,
            classes=trained.classes,
            divide=divide,
            progress=progress,
        )
        return posed(dataset, trained.damage)

    if data is None or where is None:
        return read("as trained")
    there = None
    with contextlib.suppress(UnreadableError):  # damaged facts say nothing
        there = _trained_on(trained)
    if there == where.resolve():
        return read("as trained")
    seen = read("as trained")  # a folder may have moved; what is in it decides
    return seen if seen.fingerprint == trained.provenance.get("data_fingerprint") else read("all as test")


def _trained_on(trained: Trained) -> Path | None:
    """The folder that a run was trained on, as its facts have it."""
    from neocog.runs import facts as facts_file  # no prediction needs them

    facts = trained.path.with_name("facts.json") if trained.path else None
    found = facts_file.read(facts)["where"] if facts and facts.exists() else None
    return Path(found) if found is not None else None


def write_model(path: Path, weights: Mapping[str, torch.Tensor], document: dict[str, Any]) -> None:
    """Write the model file; the readable copy `model.json` beside it is for people, nothing reads it."""
    sealed.write(path, weights, document)
    write_json(path.with_suffix(".json"), document)


def load(path: Path) -> Trained:
    """The model file at `path`. `UnreadableError` where it was changed, cut off, or is not a model."""
    tensors, document = sealed.read(path)
    said = _document(path, document)
    held = {n.removeprefix(DOUBT): tensors.pop(n) for n in [*tensors] if n.startswith(DOUBT)}
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise UnreadableError(f"{path} holds values that are not finite, in {some(broken, 3)}; restore it")
    try:
        doubt = from_file(said.doubt, held) if said.doubt is not None else None
        with torch.device("meta"):  # nothing is allocated for a network that the tensors are not of
            bare = build(said.model, shape=said.shape, classes=len(said.classes))
        _require_same(bare, tensors)
        network = build(said.model, shape=said.shape, classes=len(said.classes))
    except (NeocogError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise _no_model(path, str(error)) from error
    assign(network, tensors, path)
    return Trained(
        network=network.eval(),
        model=said.model,
        shape=said.shape,
        classes=said.classes,
        preprocess=said.preprocess,
        task=said.task,
        provenance=said.provenance,
        doubt=doubt,
        path=path,
    )


Size = Annotated[int, Field(ge=1, le=1 << 20, strict=True)]


class Document(BaseModel):
    """What a model file says beside its weights."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    model: Model
    shape: Annotated[tuple[Size, ...], Field(min_length=2, max_length=4)]
    classes: tuple[Annotated[str, Field(strict=True)], ...]
    preprocess: Preprocess
    task: str
    provenance: dict[str, Any]
    doubt: dict[str, Any] | None = None


def _document(path: Path, document: Mapping[str, Any]) -> Document:
    """The document of the file at `path`; `UnreadableError` where it is of a newer version, or no model's."""
    written = document.get("format")
    if type(written) is not int:
        raise _no_model(path, f"its format is {str(written)[:40]!r}, no number")
    if written > FORMAT:
        raise UnreadableError(f"{path} was written by a newer neocog (format {written}); upgrade neocog")
    try:
        said = Document.model_validate(dict(document))
    except ValidationError as error:
        raise _no_model(path, str(first_complaint(error, within="its document"))) from None
    except (NeocogError, RecursionError) as error:
        raise _no_model(path, str(error)) from error
    if said.task not in TASKS:
        raise _no_model(path, f"there is no task '{said.task}' (known: {', '.join(TASKS)})")
    placed = (said.preprocess.channels or said.shape[0], *(said.preprocess.size or said.shape[1:]))
    if placed != said.shape:
        raise _no_model(path, f"pictures are placed as {placed}, and the network takes {said.shape}")
    return said


def _no_model(path: Path, why: str) -> UnreadableError:
    return UnreadableError(f"{path} is a tensor file, but no model: {why.splitlines()[0][:300]}")


def _require_same(network: Network, tensors: Mapping[str, torch.Tensor]) -> None:
    """`ValueError` where the tensors are not all of the network's, in its shapes."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = [name for name in {**shapes, **given} if shapes.get(name) != given.get(name)]
    if wrong:
        raise ValueError(f"it does not fit its own architecture, in {some(wrong, 3)}")


def assign(network: Network, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load `tensors` into `network`; `UnreadableError` names at most three that do not fit."""
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        first = [line.strip() for line in str(error).splitlines()[1:4]]
        raise UnreadableError(f"{path} does not fit its own architecture: {' '.join(first)}") from error


class Kept(Protocol):
    """What has its own place on disk, such as a `Run`."""

    @property
    def path(self) -> Path: ...


def open_trained(what: str | Path | Kept | Trained, weights: str | Path | None = None) -> Trained:
    """A run folder, a model file, another library's weights, or a name of the zoo; an existing path wins, but
    no folder without a run.

    A name comes with `weights`: a file, 'hub:OWNER/NAME', or which public release; without, the first public
    one is downloaded, its licence shown on stderr first. `NetworkNeeded` says what to put where. A .json of
    Keras' layers comes with a file of their weights.
    """
    if isinstance(what, Trained):
        return what
    given = what if isinstance(what, str | Path) else what.path
    path = Path(given)
    if path.suffix == ".json" and path.is_file():
        return _apart(path, weights)
    there = path.exists() and not names_network(given)
    if weights is not None and (there or not (str(given) in ZOO or named_as_path(str(given)))):
        known = "brings its own weights" if there else "is no network of the zoo"
        raise UsageError(f"{given} {known}; --weights goes with a name such as mobilenet_v2")
    if there and path.is_dir():
        if not (path / MODEL_FILE).exists():
            raise UnreadableError(f"{path} holds no {MODEL_FILE}, so it is no finished run; train it first")
        return load(path / MODEL_FILE)
    if there:
        if sealed.is_sealed(path):
            return load(path)
        from neocog.pretrained import weights as published

        others = (*published.SUFFIXES, *published.FOREIGN)
        return borrowed(published.load_file(path)) if path.suffix in others else load(path)
    if str(given) in ZOO:
        from neocog.pretrained import weights as published

        return borrowed(published.load(str(given), weights, announce=_announce))
    if named_as_path(str(given)):
        raise UnreadableError(f"there is no run or model file at {given}")
    raise unknown("run, model file or network", str(given), ZOO)


def names_network(given: str | Path) -> bool:
    """Whether `given` names a network of the zoo: no file and no run, begun or finished, lies there."""
    path = Path(given)
    is_run = any((path / name).exists() for name in (MODEL_FILE, "recipe.json"))
    return str(given) in ZOO and not is_run and (path.is_dir() or not path.exists())


def require_there(where: Path) -> None:
    """`UnreadableError` where the pictures of a training are no longer at `where`."""
    if not where.exists():
        raise UnreadableError(
            f"the pictures of the training are no longer at {where}; say where they are now: --data FOLDER"
        )


def _apart(layers: Path, weights: str | Path | None) -> Trained:
    """Structure and weights apart: the layers in a .json of Keras, their weights in another file."""
    if weights is None:
        raise UsageError(f"{layers} holds layers without weights; give those: --weights FILE")
    from neocog.pretrained.keras import whole

    return borrowed(whole.load(Path(weights), layers))


def borrowed(found: Published) -> Trained:
    """A network with another library's weights, as if it were a run's."""
    return Trained(
        network=found.network,
        model=found.model,
        shape=found.shape,
        classes=found.classes,
        preprocess=found.preprocess,
        task=found.task,
        provenance=found.provenance,
        doubt=unpacked(found.doubt, found.provenance["weights"]) if found.doubt is not None else None,
    )


def _announce(line: str) -> None:
    print(line, file=sys.stderr)
