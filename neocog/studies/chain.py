"""Chain: what a measured figure hangs on, link by link, each replayed: from the recipe to the interval.

A chain is about mistakes and accidents: a file that was changed or mixed up, data or code that are not those
of the training any more. Who writes files of his own with their seals can deceive it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from neocog import sealed
from neocog.answers import ANSWERS_FILE, Answers, collect
from neocog.answers import read as read_answers
from neocog.data.dataset import Dataset
from neocog.errors import NeocogError, NetworkNeeded
from neocog.model import Trained, dataset_of, load
from neocog.runs.run import Run, open_run
from neocog.show.words import percent
from neocog.tasks.intervals import wilson
from neocog.verbs.train import train
from neocog.world import as_many_threads, find

NEAR = 0.01
"""The share of itself by which a figure of restored pictures may be off elsewhere; it has no interval."""
State = Literal["to the bit", "within its interval", "broken", "not here"]


@dataclass(frozen=True, slots=True)
class Link:
    """`name` is what was replayed, `said` what came of it."""

    name: str
    state: State
    said: str

    def text(self) -> str:
        return f"  {self.name}: {self.said}" + (f" ({self.state})" if self.state != "to the bit" else "")

    def json(self) -> dict[str, str]:
        return {"name": self.name, "state": self.state, "said": self.said}


def held(name: str, same: bool, said: str, otherwise: str) -> Link:
    """A link that holds to the bit, or is broken."""
    return Link(name, "to the bit" if same else "broken", said if same else otherwise)


def links(steps: Mapping[str, Callable[[], Link]]) -> Iterator[Link]:
    """The links of `steps` in order; an error breaks its link, but for data that are not on this machine. The
    later steps need the earlier.
    """
    for name, step in steps.items():
        try:
            link = step()
        except NetworkNeeded as error:
            link = Link(name, "not here", str(error).splitlines()[0])
        except NeocogError as error:
            link = Link(name, "broken", str(error).splitlines()[0])
        yield link


def to_the_first_broken(chain: Iterable[Link]) -> tuple[Link, ...]:
    """The links up to the first that is broken or missing: behind it nothing is known."""
    found: list[Link] = []
    for link in chain:
        found.append(link)
        if link.state in ("broken", "not here"):
            break
    return tuple(found)


class OfModel:
    """The chain of a model file: the weights, the pictures, and the figures that stand in the file."""

    def __init__(self, path: Path, device: str) -> None:
        self.path, self.device = path, find(device, "float32").device
        self.trained: Trained
        self.dataset: Dataset

    def steps(self) -> dict[str, Callable[[], Link]]:
        """Every link's name and how it is replayed; the later need the earlier."""
        return {"weights": self.weights, "pictures": self.pictures, "figures": self.figures}

    def weights(self) -> Link:
        self.trained = load(self.path)
        n = sum(p.numel() for p in self.trained.network.parameters())
        return Link("weights", "to the bit", f"{n:,} parameters, sealed {sealed.digest(self.path)[:12]}")

    def pictures(self) -> Link:
        """Read again, placed as the model's preprocessing says, and hashed."""
        self.dataset = dataset_of(self.trained)
        was, now = self.trained.provenance.get("data_fingerprint"), self.dataset.fingerprint
        n = sum(len(split) for split in self.dataset.splits.values())
        return held(
            "pictures",
            was == now,
            f"{n:,} of {self.dataset.name}, {now[:12]}",
            f"they are not those of the training: {now[:12]}, then {str(was)[:12]}",
        )

    def figures(self) -> Link:
        """The held-out accuracy that the file states."""
        stated: Mapping[str, Any] = self.trained.provenance.get("metrics", {})
        if stated.get("val_accuracy") is None or self.dataset.val is None:
            return Link("figures", "not here", "the file states no accuracy on pictures that are here")
        found = collect(self.trained, self.dataset.val, "val", self.device)
        return compared("figures", float(stated["val_accuracy"]), found)


class OfRun(OfModel):
    """The chain of a finished run: facts, recipe, weights, pictures, preprocessing, every answer, the count,
    the interval; with `again` the training too.
    """

    def __init__(self, run: Run, device: str, *, again: bool) -> None:
        super().__init__(run.model_file, device)
        self.run, self.again, self.place = run, again, device
        self.facts: dict[str, Any] = {}
        self.answers: Answers

    def steps(self) -> dict[str, Callable[[], Link]]:
        steps = {
            "facts": self.sealed_facts,
            "recipe": self.recipe,
            "weights": self.weights,
            "pictures": self.pictures,
            "preprocessing": self.preprocessing,
            "answers": self.each_answer,
            **({"nearness": self.nearness} if self._restores() else self._counted()),
        }
        return {**steps, "training": self.training} if self.again else steps

    def _counted(self) -> dict[str, Callable[[], Link]]:
        return {"count": self.count, "interval": self.interval}

    def _restores(self) -> bool:
        """Whether it was trained to restore pictures; a recipe that cannot be read is its own link's word."""
        with contextlib.suppress(NeocogError):
            return self.run.recipe().damage is not None
        return False

    def sealed_facts(self) -> Link:
        self.facts = self.run.facts()
        result = self.facts.get("result", {})
        if result.get("test_accuracy") is None and result.get("test_psnr") is None:
            return Link(
                "facts", "not here", "the run is not finished, or has no test pictures: it claims nothing"
            )
        return Link("facts", "to the bit", f"of {self.facts.get('begun', 'an older version')}, sealed")

    def recipe(self) -> Link:
        now, was = self.run.recipe().identity, self.facts["recipe_identity"]
        return held("recipe", now == was, now[:12], f"recipe.json is {now[:12]}, trained was {was[:12]}")

    def preprocessing(self) -> Link:
        """The model's is what the recipe's comes to on these training pictures."""
        wanted = self.run.recipe().preprocess.resolved(self.dataset.train.x)
        same = self.trained.preprocess == wanted
        return held("preprocessing", same, wanted.scale, "the model file's is not what the recipe asks for")

    def each_answer(self) -> Link:
        """To every test picture, beside those that the run kept."""
        self.answers = collect(self.trained, self.dataset.split("test"), "test", self.device)
        kept = self.run.path / ANSWERS_FILE
        if not kept.exists():
            return Link("answers", "within its interval", "the run kept none to compare with")
        then = read_answers(kept)
        if not then.are_of(self.run.model_file):
            return Link("answers", "broken", f"{ANSWERS_FILE} is of another model file")
        others = (then.predicted != self.answers.predicted).reshape(len(then), -1).any(1)
        changed = int(others.sum())
        if changed == 0 and torch.equal(then.probabilities, self.answers.probabilities):
            return Link("answers", "to the bit", f"{len(then):,}, every probability the same")
        said = f"{changed:,} of {len(then):,} are others; the last bits of their probabilities differ here"
        return Link("answers", "within its interval", said)

    def count(self) -> Link:
        return compared("count", self.facts["result"]["test_accuracy"], self.answers)

    def interval(self) -> Link:
        result = self.facts["result"]
        stated, n = tuple(result["test_interval"]), result["test_n"]
        due = wilson(round(result["test_accuracy"] * n), n)
        return held(
            "interval",
            stated == due,
            percent(result["test_accuracy"], due),
            f"{stated} is not Wilson's {due}",
        )

    def nearness(self) -> Link:
        """PSNR and SSIM of restored test pictures, measured again."""
        now = self.answers.report.beside(self.dataset.split("test")).result()
        return near("nearness", self.facts["result"], {f"test_{name}": value for name, value in now.items()})

    def training(self) -> Link:
        """The recipe once more, by as many threads, into a folder of its own."""
        threads = as_many_threads(self.facts.get("threads"))
        with threads, TemporaryDirectory(prefix="neocog-prove-") as folder:
            where = self.facts.get("where")
            recipe = self.run.recipe()
            again = train(recipe, data=where, out=Path(folder) / "again", device=self.place)
            then, now = (sealed.read(file)[0] for file in (self.run.model_file, again.model_file))
            if then.keys() == now.keys() and all(torch.equal(then[name], now[name]) for name in then):
                return Link("training", "to the bit", "the same weights come out")
            result = again.facts()["result"]
        if self._restores():
            return near("training", self.facts["result"], result)
        share = result["test_accuracy"]
        low, high = self.facts["result"]["test_interval"]
        within = low <= share <= high
        said = f"other weights, {percent(share)}"
        return Link("training", "within its interval" if within else "broken", said)


def compared(name: str, stated: float, found: Answers) -> Link:
    """A stated accuracy beside the answers of now."""
    right, n = int(found.right.sum()), len(found)
    said = f"{right:,} of {n:,} right, {percent(right / n)}"
    if right / n == stated:
        return Link(name, "to the bit", said)
    low, high = wilson(round(stated * n), n)
    if low <= right / n <= high:
        return Link(name, "within its interval", f"{said}; stated {percent(stated)}")
    return Link(name, "broken", f"{said}; stated {percent(stated)}")


def near(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Link:
    """How near restored test pictures came to the undamaged ones, beside what it is now."""
    said = f"{now['test_psnr']:.2f} dB and {now['test_ssim']:.3f}"
    apart = {key: abs(now[key] - then[key]) for key in ("test_loss", "test_psnr", "test_ssim")}
    if not any(apart.values()):
        return Link(name, "to the bit", said)
    said = f"{said}; stated {then['test_psnr']:.2f} dB and {then['test_ssim']:.3f}"
    same = all(difference <= NEAR * abs(then[key]) for key, difference in apart.items())
    return Link(name, "within its interval" if same else "broken", said)


def of_path(path: Path, device: str, *, again: bool) -> OfModel:
    """The chain of a run's folder, of the model file in one, or of a model file by itself."""
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or ((folder / "recipe.json").exists() and path.name == "model.safetensors"):
        return OfRun(open_run(folder), device, again=again)
    return OfModel(path, device)
