"""predict: pictures of any size and kind go in, class names with probabilities come out."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neocog.data.batches import channels_last
from neocog.data.targets import form_of
from neocog.errors import UnreadableError, UsageError
from neocog.model import Trained, dataset_of, open_trained
from neocog.outputs import cell, write_png
from neocog.pictures import reading
from neocog.pictures.decode import Pixels, Preprocess
from neocog.pictures.names import shown
from neocog.pictures.seen import decoding
from neocog.show import grids
from neocog.show.words import percent
from neocog.world import Precision, World, find
from neocog.zoo.head import answering

if TYPE_CHECKING:
    from neocog.runs.run import Run


@dataclass(frozen=True, slots=True)
class Guess:
    """One class with its probability (0..1)."""

    name: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What it takes to draw an answer: the picture as the network saw it, uint8 (C, H, W), and the
    probabilities of all `classes`.
    """

    pixels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]
    truth: int | None = None

    def png(self) -> bytes:
        from neocog.show import charts

        return charts.answer(self.pixels, self.probabilities, self.classes, truth=self.truth)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture, best guess first; or the `error` that kept it from being read.

    `distance` says how far the picture lies from those of the training, where the model file knows, and
    `unlike` whether that is too far. `truth` is the known class of a data set's picture. `note` says what
    looked odd. `shown` is kept for the first 20 pictures.
    """

    file: str
    top: tuple[Guess, ...] = ()
    error: str = ""
    note: str = ""
    distance: float | None = None
    unlike: bool = False
    truth: str = ""
    shown: Shown | None = field(default=None, repr=False, compare=False)

    def json(self) -> dict[str, Any]:
        if self.error:
            return {"file": self.file, "error": self.error}
        guesses = [{"class": g.name, "index": g.index, "probability": g.probability} for g in self.top]
        extra = {key: value for key, value in (("note", self.note), ("truth", self.truth)) if value}
        doubt = {"distance": self.distance, "unlike": self.unlike} if self.distance is not None else {}
        return {"file": self.file, "top": guesses, **doubt, **extra}


@dataclass(frozen=True, slots=True)
class Predictions:
    """One `Prediction` per picture, in the order they were given."""

    items: tuple[Prediction, ...]
    remarks: tuple[str, ...] = ()
    """What was left out of folders."""

    @property
    def exit_code(self) -> int:
        """3 where a picture could not be read."""
        return UnreadableError.exit_code if any(item.error for item in self.items) else 0

    def json(self) -> list[dict[str, Any]]:
        return [item.json() for item in self.items]

    def text(self) -> str:
        """One line a picture: its classes with their probabilities, or why it could not be read."""
        lines = []
        for item in self.items:
            guesses = "  ".join(f"{g.name} {percent(g.probability, digits=1)}" for g in item.top)
            truth = f"  (truth: {item.truth})" if item.truth else ""
            lines.append(shown(f"{item.file}: {item.error or guesses}{truth}"))
            if item.unlike:
                lines.append("  unlike anything it was trained on: do not believe the answer")
            if item.note:
                lines.append(f"  note: {item.note}")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write the first 20 answers as one PNG: each picture with its title and probability bars
        (experiment E4). `UsageError` where no picture could be read.
        """
        self._write(path, [one.png() for one in self.shown])

    def spectrum(self, path: str | Path) -> None:
        """Write the probabilities of all classes, for the first 20 pictures, as one PNG (experiment P2)."""
        from neocog.show import charts

        self._write(path, [charts.spectrum(one.probabilities, one.classes) for one in self.shown])

    def _write(self, path: str | Path, pngs: Sequence[bytes]) -> None:
        if not pngs:
            raise UsageError("none of the pictures could be read, so there is nothing to show")
        write_png(Path(path), grids.stacked(pngs, caption=self.limit or None))

    @property
    def shown(self) -> tuple[Shown, ...]:
        """What `save` draws."""
        return tuple(item.shown for item in self.items if item.shown is not None)

    @property
    def limit(self) -> str:
        """What to know of a picture that does not show everything; empty where it does."""
        n, shown = len(self.items), len(self.shown)
        return f"the picture shows {shown} of {n:,} predictions" if shown < n else ""

    def jsonl(self) -> str:
        """One JSON object a line."""
        return "\n".join(json.dumps(item.json(), ensure_ascii=False) for item in self.items)

    def csv(self) -> str:
        """file, class, probability, error; a cell that a spreadsheet would run as a formula is preceded by
        a quote mark.
        """
        lines = io.StringIO()
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(["file", "class", "probability", "error"])
        for item in self.items:
            best = item.top[0] if item.top else None
            cells = [
                item.file,
                best.name if best else "",
                f"{best.probability:.6f}" if best else "",
                item.error,
            ]
            table.writerow(map(cell, cells))
        return lines.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        from neocog.show import markup

        rows = []
        for item in self.items:
            seen = markup.image(markup.thumbnail(item.shown.pixels), alt=item.file) if item.shown else ""
            best = percent(item.top[0].probability, digits=1) if item.top else ""
            named = item.top[0].name if item.top else item.error
            rows.append((seen, item.file, named, best, item.truth, item.note))
        return markup.table(("", "file", "class", "probability", "truth", "note"), rows)


def predict(
    what: str | Path | Run | Trained,
    images: Iterable[str | Path] = (),
    *,
    split: Literal["train", "val", "test"] | None = None,
    index: Sequence[int] = (),
    data: str | Path | None = None,
    weights: str | Path | None = None,
    top: int = 5,
    polarity: Literal["as given", "negative"] = "as given",
    changes: Sequence[str] = (),
    device: str = "auto",
    precision: Precision = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Name pictures: files, folders (their pictures, in natural order) and globs; or items `index` of a data
    set's `split`.

    Every picture goes through the decoder and the Preprocess of training and evaluation. `polarity`
    'negative' turns light into dark first: for digits drawn dark on white, where the training pictures are
    light on dark; without it such a picture is noticed and noted. `changes` are "field=value" texts for how
    pictures are decoded where that is to differ from the training, such as "levels=[0,4095]". A file that
    cannot be read becomes an item with its error; the others are named all the same. `weights` goes with a
    network of the zoo, see `open_trained`. Answers are in float32, as `evaluate` measures the network;
    another `precision` is quicker where the hardware multiplies it, and answers a little otherwise.
    `progress` hears how many pictures are read, of how many.
    """
    if top < 1:
        raise UsageError(f"top {top} is not a number of classes; give 1 or more")
    trained = open_trained(what, weights)
    trained.require_names()
    if not trained.classes:
        raise UsageError(
            f"the weights of {what} end before the classifier, so they name nothing; see features"
        )
    namer = _Namer(trained, min(top, len(trained.classes)), find(device, precision))
    if split is not None or index:
        return Predictions(tuple(_of_split(namer, split or "test", index, data, progress)))
    pictures = list(images)
    if not pictures:
        raise UsageError(
            "no pictures were given; name files, folders or globs, or use --split test --index 0,17"
        )
    items: list[Prediction] = []
    found = reading.find(pictures)
    wanted = decoding(trained.preprocess, changes)
    for read in found.read(namer.placing(polarity), progress=progress, wanted=wanted):
        items += namer.named(read, shown=grids.MOST_STACKED - len(items))
    return Predictions(tuple(items), found.remarks)


class _Namer:
    """A trained network, ready to name placed pictures."""

    def __init__(self, trained: Trained, top: int, world: World) -> None:
        if world.precision != "float32":  # answers differ by more than folding makes them
            from neocog.inside.folded import quick

            fast = quick(trained.network, trained.shape, world.dtype, world.device)
            trained = replace(trained, network=fast)
        self.trained, self.top, self.world, self.device = trained, top, world, world.device
        self.network = trained.judge.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.doubt = trained.doubt.to(self.device) if trained.doubt is not None else None

    def placing(self, polarity: Literal["as given", "negative"]) -> Callable[[Pixels], Pixels]:
        """From a decoded picture to the network's input before normalising."""
        place = self.trained.preprocess.place
        return place if polarity == "as given" else lambda pixels: place(255 - pixels)

    def named(self, read: Sequence[reading.Reading], *, shown: int) -> list[Prediction]:
        """Name those pictures that could be read, in their order; keep what it takes to draw the first
        `shown`.
        """
        preprocess = self.trained.preprocess
        placed = [one.pixels for one in read if one.pixels is not None]
        far: list[float] = []
        chances = (
            self.chances(torch.from_numpy(np.stack(placed)), far) if placed else torch.empty(0, self.top)
        )
        answers = zip(chances, self.guesses(chances), strict=True)
        distances = iter(far)
        items = []
        for number, one in enumerate(read):
            if one.pixels is not None:
                row, top = next(answers)
                drawn = Shown(one.pixels, row.numpy(), self.trained.classes) if number < shown else None
                note = one.note or _note(one.pixels, preprocess)
                named = Prediction(str(one.path), top, note=note, shown=drawn)
                items.append(self._doubted(named, next(distances, None)))
            else:
                items.append(Prediction(str(one.path), error=one.error))
        return items

    @torch.inference_mode()
    def chances(self, x: Tensor, far: list[float]) -> Tensor:
        """Probabilities (N, classes), float32, for placed pictures `x`, uint8 (N, C, H, W); `far` gets their
        distances, where the model file knows them.
        """
        with contextlib.ExitStack() as hooks:
            if (doubt := self.doubt) is not None:
                keep = answering(
                    self.trained.network, lambda seen: far.extend(doubt.distances(seen.float()).tolist())
                )
                hooks.enter_context(keep)
            hooks.enter_context(self.world.autocast())
            logits: Tensor = self.network(self.trained.preprocess.normalise(channels_last(x.to(self.device))))
        return self.trained.answers.probabilities(logits.float()).cpu()

    def _doubted(self, named: Prediction, distance: float | None) -> Prediction:
        if self.doubt is None or distance is None:
            return named
        return replace(named, distance=distance, unlike=self.doubt.unlike(distance))

    def guesses(self, chances: Tensor) -> Iterator[tuple[Guess, ...]]:
        """The best guesses for each row of probabilities."""
        best = chances.topk(self.top)
        for probabilities, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            yield tuple(
                Guess(self.trained.classes[i], i, p) for i, p in zip(indices, probabilities, strict=True)
            )


def _note(placed: Pixels, preprocess: Preprocess) -> str:
    if not preprocess.looks_inverted(placed):
        return ""
    light, dark = ("light", "dark") if (preprocess.background or 0) < 0.5 else ("dark", "light")
    return f"the background is {light}, in the training pictures it is {dark}: try --negative"


def _of_split(
    namer: _Namer,
    split: str,
    index: Sequence[int],
    data: str | Path | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Prediction]:
    from neocog.answers import collect

    pictures = dataset_of(namer.trained, data, progress=progress).split(split)
    rows = list(index) if index else list(range(len(pictures)))
    outside = [i for i in rows if not 0 <= i < len(pictures)]
    if outside:
        raise UsageError(
            f"index {outside[0]} is outside the {split} split, which has pictures 0 to {len(pictures) - 1}"
        )
    chosen = pictures.subset(torch.tensor(rows)) if index else pictures
    with namer.world.autocast():
        answers = collect(namer.trained, chosen, split, namer.device)
    classes, numbers = namer.trained.classes, form_of(answers.truth).only(answers.truth)
    for number, (row, top) in enumerate(zip(rows, namer.guesses(answers.probabilities), strict=True)):
        truth = answers.truth[number]
        file = pictures.names[row] if pictures.names else f"{split}[{row}]"
        drawn = None
        if number < grids.MOST_STACKED:
            pixels, chances = chosen.x[number].numpy(), answers.probabilities[number].numpy()
            drawn = Shown(pixels, chances, classes, numbers[number])
        yield Prediction(file, top, truth=answers.named(truth), shown=drawn)
