"""Dataset and Split: pictures with their labels, in memory or memory-mapped, never changed.

A split is two tensors that share their first axis. Class names are fixed once, by name and in natural order,
by whoever reads the data; every split, model file and report carries that one tuple.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from neocog.data import targets
from neocog.errors import UsageError, escaped, unknown
from neocog.events import Watched
from neocog.pictures.walk import Skipped


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures `x`, uint8 (N, C, H, W), and targets `y`, (N, ...): class indices or label sets, as `targets`
    has their forms.

    `names` says where each picture came from (a path relative to the folder), empty for sets that are arrays.
    `kinds` says in a word what each picture shows whatever its class, empty where nobody knows.
    """

    x: Tensor
    y: Tensor
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The pictures and labels at `indices` (int64), copied."""
        return self.x[indices], self.y[indices]

    def subset(self, indices: Tensor) -> Split:
        return Split(self.x[indices], self.y[indices], *self.words(indices))

    def words(self, indices: Tensor) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names and the kinds at `indices`."""
        names, kinds = (
            tuple(words[i] for i in indices.tolist()) if words else () for words in (self.names, self.kinds)
        )
        return names, kinds

    def only(self, word: str) -> Split:
        """The pictures of the kind `word`, or with `word` in their names where there are no kinds.

        `UsageError` where there is none.
        """
        if self.kinds and word not in self.kinds:
            raise unknown("kind of picture", word, sorted(set(self.kinds)))
        found = [n for n, kind in enumerate(self.kinds) if kind == word]
        if not self.kinds:
            found = [n for n, name in enumerate(self.names) if word in name]
        if not found:
            told = "no picture has it in its name" if self.names else "these pictures have no names"
            raise UsageError(f"only '{escaped(word)}' was asked for; {told}")
        return self.subset(torch.tensor(found))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture."""
        return tuple(self.x.shape[1:])  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Dataset:
    """What `neocog.data.load` returns. `val` is held out of `train` (or the folder's own); `test` is never
    trained on.

    `fingerprint` is a SHA-256 over pictures, labels and class names in their order; it goes into a run's
    facts. `remarks` are sentences for the reader: what was assumed, what looked odd.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None
    fingerprint: str = ""
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that exist, by name. (Of data that are all for testing, train is empty and left out.)"""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {
            name: split
            for name, split in named.items()
            if split is not None and (len(split) or name != "train")
        }

    @property
    def watched(self) -> Watched:
        """What `val` is: pictures held out for it, or the test set itself."""
        return "test" if self.val is not None and self.val is self.test else "held out"

    def split(self, name: str) -> Split:
        """The split called `name`; `UsageError` lists those that there are."""
        if name not in self.splits:
            raise unknown(f"split of {self.name}", name, self.splits)
        return self.splits[name]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.train.shape

    def free(self, *, but: str | None = None) -> None:
        """Let go of the pictures of every split `but` one, whoever else holds this data set; all labels stay.
        The memory that several splits lie in is freed with the last of them.
        """
        kept = self.split(but) if but else None
        for split in self.splits.values():
            if split is not kept:
                none = torch.empty(0, *split.shape, dtype=split.x.dtype)
                split.x.set_(none)  # type: ignore[call-overload]

    def _repr_html_(self) -> str:
        """Counts per class and split with a sample of the pictures, for notebooks."""
        from neocog.data.samples import draw
        from neocog.show import markup

        counts = [class_counts(split, len(self.classes)) for split in self.splits.values()]
        table = markup.table(("class", *self.splits), zip(self.classes, *counts, strict=True))
        c, h, w = self.shape
        title = markup.text(f"{self.name}: pictures {h}x{w}x{c}")
        return f"<p>{title}</p>{table}{markup.image(draw(self).png(), alt='sample pictures')}"

    def with_remarks(self, *remarks: str) -> Dataset:
        return replace(self, remarks=(*self.remarks, *remarks))


def class_counts(split: Split, classes: int) -> list[int]:
    """How many pictures of each class a split holds (for label sets: how many carry each label)."""
    return targets.form_of(split.y).counts(split.y, classes)
