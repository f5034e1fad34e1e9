"""weights: which public weights there are, what a weights file is, and another library's files both ways."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neocog import outputs, sealed
from neocog.errors import UnreadableError, UsageError, unknown
from neocog.files import named_as_path
from neocog.model import Trained, open_trained
from neocog.pictures.names import shown
from neocog.pretrained.keras import sequential
from neocog.pretrained.releases import RELEASES, Release
from neocog.runs.run import Run
from neocog.show.words import fitted, percent
from neocog.zoo import ZOO
from neocog.zoo.layer_list import meaning
from neocog.zoo.layers.layer import Layer
from neocog.zoo.layers.plain import Activate

_HEADINGS = ("network", "release", "top-1", "top-5", "MB", "parameters", "file", "licence")


@dataclass(frozen=True, slots=True)
class Listing:
    """Public weights by network; nothing was downloaded."""

    releases: tuple[tuple[str, Release], ...]

    def text(self) -> str:
        rows = [_HEADINGS]
        for name, r in self.releases:
            where = f"{r.url} ({r.by} {r.digits})" if r.wheel is None else f"pip install {r.wheel}"
            top5 = percent(r.top5, digits=1) if r.top5 else "-"
            figures = (percent(r.top1, digits=1), top5, f"{r.size:.0f}", f"{ZOO[name].parameters:,}")
            rows.append((name, r.label, *figures, where, r.licence))
        return "\n".join(fitted(rows))

    def json(self) -> list[dict[str, Any]]:
        return [{"network": name, **asdict(release)} for name, release in self.releases]

    def save(self, path: str | Path) -> None:
        """A list is no network: `UsageError` says what is one."""
        raise UsageError("-o writes a network: give a run, a model file, or --file FILE")


@dataclass(frozen=True, slots=True)
class Weights:
    """What a weights file or a run is, opened and checked. `save` writes it for us or for Keras."""

    trained: Trained

    def text(self) -> str:
        """Network, classes, manner, Preprocess and where it is from."""
        t = self.trained
        c, *sizes = t.shape
        names = ", ".join(map(shown, t.classes[:3]))
        lines = {
            "network": t.model.name or f"layer list of {len(t.model.layers or ())} layers",
            "input": "x".join(str(n) for n in (*sizes, c)),
            "classes": f"{len(t.classes)} ({names}, ...)"
            if t.classes
            else "none: it ends before the classifier",
            "manner": _manner(t),
            "preprocess": t.preprocess.describe(),
            **{key: str(value) for key, value in t.provenance.items() if isinstance(value, str)},
        }
        width = max(len(key) for key, value in lines.items() if value) + 2
        return "\n".join(f"{key:<{width}}{value}" for key, value in lines.items() if value)

    def json(self) -> dict[str, Any]:
        return self.trained.document()

    def save(self, path: str | Path) -> None:
        """`.safetensors`: our model file. `.h5`, `.weights.h5`, `.keras`, `.json`: Keras', for layer lists.

        `UsageError` where Keras has no such layer, or the network is no layer list.
        """
        path, t = Path(path), self.trained
        if path.suffix == ".safetensors":
            with outputs.replacing(path) as temporary:
                sealed.fill(temporary, t.tensors(), t.document())
                outputs.write_json(path.with_suffix(".json"), t.document())  # the weights stay with theirs
        elif path.suffix not in (".h5", ".keras", ".json"):
            raise UsageError(
                f"'{path.name}': weights are written as .safetensors, .h5, .weights.h5, .keras or .json"
            )
        else:
            layers = t.model.layers or _chapter(t.model.name)
            if layers is None:
                raise UsageError(
                    f"Keras gets layer lists only, and {t.model.name} is none; write .safetensors"
                )
            about = {key: t.document()[key] for key in ("classes", "preprocess", "task", "provenance")}
            if t.doubt is not None:
                about["doubt"] = t.doubt.packed()
            answering = _answering(tuple(layers), t.task)
            sequential.save(path, sequential.Sequential(answering, t.shape, t.network, about=about))


def _answering(layers: tuple[Layer, ...], task: str) -> tuple[Layer, ...]:
    """The layers as Keras is to run them: labels each for itself end in logistics, whatever the list said,
    since with us the task decides.
    """
    if task != "multilabel" or meaning(layers) != "softmax":
        return layers
    last = layers[-1]
    field = "kind" if isinstance(last, Activate) else "activation"
    return (*layers[:-1], last.model_copy(update={field: "sigmoid"}))


def _manner(trained: Trained) -> str:
    manner = trained.model.manner
    given = manner.model_dump(exclude_none=True) if manner else {}
    return ", ".join(f"{key} {value}" for key, value in given.items())


def _chapter(name: str | None) -> Any:
    """The layer list behind a row of the chapters' networks."""
    from neocog.zoo.chapters import ENTRIES
    from neocog.zoo.layer_list import parse

    return parse(list(ENTRIES[name].layers)) if name in ENTRIES else None


def weights(
    what: str | Path | Run | Trained | None = None, *, file: str | Path | None = None
) -> Listing | Weights:
    """What is public for the network `what` (None: for all), or, with `file`, what that file is.

    `file` is checked tensor by tensor against `what`, or against whatever network it fits. A run or a model
    file as `what` is opened, to be written for Keras. Nothing is downloaded.
    """
    if file is not None:
        if what is None:
            return Weights(open_trained(Path(file)))
        return Weights(open_trained(what, file))
    if what is not None and not isinstance(what, str | Path):
        return Weights(open_trained(what))
    if what is None:
        return Listing(tuple((name, r) for name, releases in RELEASES.items() for r in releases))
    if Path(what).exists():
        return Weights(open_trained(what))
    if str(what) not in ZOO and named_as_path(str(what)):
        raise UnreadableError(f"there is no file at {what}; give a network's name, a run or a model file")
    if str(what) not in ZOO:
        raise unknown("network", str(what), ZOO)
    if str(what) not in RELEASES:
        raise UsageError(f"'{what}' has no public weights (public: {', '.join(RELEASES)})")
    return Listing(tuple((str(what), release) for release in RELEASES[str(what)]))
