"""explain: open a trained network: what its filters and maps are, and why it answers as it does."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from neocog.errors import UnreadableError, UsageError, escaped, unknown
from neocog.inside.capture import layer_named
from neocog.inside.explain.answer import Answer
from neocog.inside.explain.method import Method
from neocog.inside.explain.question import Picture, Question
from neocog.inside.explain.table import METHODS
from neocog.model import Trained, dataset_of, open_trained
from neocog.outputs import replacing, write_bytes
from neocog.pictures import reading
from neocog.world import find
from neocog.zoo import ZOO

if TYPE_CHECKING:
    from neocog.data.dataset import Split
    from neocog.pictures.pixels import Pixels
    from neocog.runs.run import Run

MOST_PICTURES = 100
"""Pictures that are explained at a time."""
Shown: TypeAlias = "tuple[str, Pixels, Path | None]"
"""A picture's name, the picture as the network sees it, and its file."""

SPLITS = ("test", "val", "train")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the method `how` found. `unread` are files that could not be read, with the reason."""

    how: str
    answer: Answer
    caution: str = ""
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def exit_code(self) -> int:
        """3 where a picture could not be read."""
        return UnreadableError.exit_code if self.unread else 0

    def text(self) -> str:
        """What was found in words, the caution that belongs to the method, and what could not be read."""
        lines = [escaped(line) for line in self.answer.lines]
        lines += [f"caution: {self.how} {self.caution}"] if self.caution else []
        lines += [escaped(f"{file}: {reason}") for file, reason in self.unread]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """`how`, `caution` and what was found, but for the large arrays, which `save` writes as .npz."""
        return {
            "how": self.how,
            "caution": self.caution or None,
            "found": dict(self.answer.facts),
            "arrays": {name: list(values.shape) for name, values in self.answer.arrays.items()},
            "unread": [{"file": file, "error": reason} for file, reason in self.unread],
        }

    def save(self, path: str | Path) -> None:
        """Write `.png` (the pictures), `.npz` (the numbers) or `.txt` (the words)."""
        place = Path(path)
        suffix = place.suffix.lower()
        if suffix == ".npz":
            arrays: dict[str, Any] = dict(self.answer.arrays)
            with replacing(place) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)
        elif suffix == ".txt":
            text = self.answer.document() if self.answer.document is not None else self.text()
            write_bytes(place, f"{text}\n".encode())
        elif suffix == ".png":
            png = self.answer.png()
            if png is None:
                raise UsageError(f"{self.how} speaks in words and numbers; write .txt or .npz")
            write_bytes(place, png)
        else:
            raise UsageError(f"an explanation is written as .png, .npz or .txt, not as '{place.name}'")

    def _repr_html_(self) -> str:
        png = self.answer.png()
        data = base64.b64encode(png).decode() if png else ""
        image = f'<img alt="{html.escape(self.how)}" src="data:image/png;base64,{data}">' if png else ""
        return f"<pre>{html.escape(self.text())}</pre>{image}"


def explain(
    what: str | Path | Run | Trained,
    images: Iterable[str | Path] = (),
    *,
    how: str | Method = "gradcam",
    layer: str | int | None = None,
    of: str | int | None = None,
    against: str | int | None = None,
    channel: int | None = None,
    at: tuple[int, ...] | None = None,
    first: int | None = None,
    levels: Literal["layer", "filter"] = "layer",
    check: Literal["nothing", "verdict"] = "nothing",
    step: Literal["forward", "backward"] = "forward",
    split: Literal["train", "val", "test"] | None = None,
    index: Sequence[int] = (),
    only: str | None = None,
    data: str | Path | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
) -> Explanation:
    """Explain a run, a model file or a network of the zoo with `weights`, by the method `how`: a name of
    `METHODS`, or a `Method` of one's own.

    Pictures are files, folders and globs, or those numbered `index` of the data set's `split`. Each is
    explained for the class `of`, by name or number; without one, for the class that the network gives it.
    `against` a second class, the question is why one rather than the other. `layer`, by a name or the number
    of `neocog summary`, `channel` and the place `at` say where to look; without them the method chooses and
    says so. `first` filters or maps are shown, black and white standing for the least and the greatest of the
    'layer' or of each 'filter'. `check` 'verdict' puts class maps to the
    test. `step` says of what the arithmetic is, an answer or a step of learning. Methods that look at the
    data set by themselves see `only` the pictures of one kind (a shape of the data set shapes), or with that
    word in their file's name. A file that cannot be read is listed in `unread`.

    `UsageError` for unknown names and where the method needs pictures and has none; `UnreadableError` where
    none can be read.
    """
    method = how if isinstance(how, Method) else METHODS.get(how)
    if method is None:
        raise unknown("way to explain", str(how), METHODS)
    trained = open_trained(what, weights)
    place = find(device, "float32").device
    trained.network.to(place)
    row = ZOO.get(trained.model.name or "")
    aliases = row.aliases if row is not None else {}
    named = (
        None
        if layer is None
        else layer_named(trained.network, str(layer), shape=trained.shape, aliases=aliases)
    )
    wanted, other = _class(trained, of), _class(trained, against)
    if other is not None and wanted == other:
        raise UsageError(f"{trained.classes[other]} against itself; give two classes")
    given, unread = _given(trained, method, list(images), split, index, data)
    if only is not None and given:
        raise UsageError(
            f"only '{escaped(only)}' is for methods that look for pictures themselves; name none"
        )
    question = Question(
        network=trained.network,
        preprocess=trained.preprocess,
        classes=trained.classes,
        shape=trained.shape,
        pictures=_answered(trained, given, wanted, place),
        of=wanted,
        against=other,
        layer=named,
        channel=channel,
        at=at,
        first=first,
        levels=levels,
        check=check,
        step=step,
        probabilities=lambda logits: trained.answers.probabilities(logits.float()),
        data=lambda wanted: _seen(_split(trained, data, wanted or split), only),
    )
    return Explanation(method.name, method.explain(question), method.caution, unread)


def _class(trained: Trained, given: str | int | None) -> int | None:
    """The number of a class given by name or number."""
    if given is None:
        return None
    if not trained.classes:
        raise UsageError("these weights end before the classifier, so there are no classes to ask about")
    if str(given) in trained.classes:
        return trained.classes.index(str(given))
    if str(given).isdecimal() and int(given) < len(trained.classes):
        return int(given)
    raise unknown("class", str(given), trained.classes)


def _given(
    trained: Trained,
    method: Method,
    images: list[str | Path],
    split: str | None,
    index: Sequence[int],
    data: str | Path | None,
) -> tuple[list[Shown], tuple[tuple[str, str], ...]]:
    """The pictures under their names, as the network sees them, and those that could not be read."""
    if index:
        part = _split(trained, data, split)
        outside = [i for i in index if not 0 <= i < len(part)]
        if outside:
            raise UsageError(f"index {outside[0]} is outside the split, which has 0 to {len(part) - 1}")
        names = [part.names[i] if part.names else f"{split or 'test'}[{i}]" for i in index]
        return [(name, part.x[i].numpy(), None) for name, i in zip(names, index, strict=True)], ()
    if not images:
        if method.needs == "pictures":
            raise UsageError(
                f"{method.name} looks at pictures; name files, folders or globs, or use "
                f"--split test --index 0,17"
            )
        return [], ()
    found = reading.find(images)
    files = found.files
    if len(files) > MOST_PICTURES:
        raise UsageError(f"{len(files):,} pictures to explain; give at most {MOST_PICTURES}")
    read = [one for some in found.read(trained.preprocess.place, wanted=trained.preprocess) for one in some]
    unread = tuple((str(one.path), one.error) for one in read if one.pixels is None)
    if len(unread) == len(files):
        raise UnreadableError(f"none of {len(files)} pictures could be read; {unread[0][0]}: {unread[0][1]}")
    return [(one.path.name, one.pixels, one.path) for one in read if one.pixels is not None], unread


def _split(trained: Trained, data: str | Path | None, split: str | None) -> Split:
    """The split asked for; the first of test, val and train that there is."""
    dataset = dataset_of(trained, data)
    return dataset.split(split or next(name for name in SPLITS if name in dataset.splits))


def _seen(split: Split, only: str | None) -> Split:
    """What a method sees of a split."""
    return split if only is None else split.only(only)


@torch.inference_mode()
def _answered(
    trained: Trained, given: list[Shown], wanted: int | None, place: torch.device
) -> tuple[Picture, ...]:
    """Every picture with the class that is explained, and the probability that the network gives it."""
    found = []
    for name, pixels, path in given:
        if not trained.classes:
            found.append(Picture(name, pixels, 0, 0.0, path))
            continue
        x = trained.preprocess.normalise(torch.from_numpy(pixels)[None].to(place))
        chances = trained.answers.probabilities(trained.network(x).float())[0]
        of = int(chances.argmax()) if wanted is None else wanted
        found.append(Picture(name, pixels, of, float(chances[of]), path))
    return tuple(found)
