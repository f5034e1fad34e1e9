"""Targets: what their forms answer, counted by hand; and nobody else asks how many axes targets have."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch

from neocog.data import targets
from neocog.data.targets import CLASS_INDICES, LABEL_SETS, form_of
from neocog.errors import UsageError

PACKAGE = Path(__file__).parent.parent / "neocog"
Y = torch.tensor([2, 0, 2, 2, 1, 0])
SETS = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]).float()


def test_the_form_of_targets() -> None:
    assert form_of(Y) is CLASS_INDICES
    assert form_of(SETS) is LABEL_SETS
    pictures = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    assert form_of(pictures) is targets.PICTURES
    assert not targets.are_labels(pictures)
    assert targets.named(pictures, ("a", "b")) == [""] * 4
    for strange in (torch.zeros(4, 3, 8), torch.zeros(4)):
        assert not targets.are_labels(strange)
        with pytest.raises(UsageError, match=r"targets of shape \(4,.* are no labels; give class"):
            form_of(strange)


def test_who_belongs_to_which_class() -> None:
    members = CLASS_INDICES.members(Y, 4)
    assert members.dtype == torch.bool
    assert members.tolist() == [[int(y) == k for k in range(4)] for y in Y]
    assert CLASS_INDICES.counts(Y, 4) == [2, 1, 3, 0]
    assert LABEL_SETS.members(SETS, 3).tolist() == SETS.bool().tolist()
    assert LABEL_SETS.counts(SETS, 3) == [2, 3, 1]
    assert CLASS_INDICES.only(Y) == Y.tolist()
    assert LABEL_SETS.only(SETS) == [None] * 5
    for form, y in ((CLASS_INDICES, Y), (LABEL_SETS, SETS)):
        assert form.members(y, 3).sum(0).tolist() == form.counts(y, 3)
        assert torch.equal(form.shares(y, 3) > 0, form.members(y, 3))
        assert form.counts(y[:0], 3) == [0, 0, 0]


def test_pictures_of_one_number_are_alike() -> None:
    assert CLASS_INDICES.strata(Y).tolist() == Y.tolist()
    found = LABEL_SETS.strata(SETS).tolist()
    same = [[a == b for b in found] for a in found]
    assert same == [[a == b for b in SETS.tolist()] for a in SETS.tolist()]


@pytest.mark.parametrize("y", [Y, SETS], ids=["indices", "label sets"])
def test_renumbered_targets_say_the_same_classes(y: torch.Tensor) -> None:
    names, known = ("cat", "dog", "eel"), ("eel", "fox", "cat", "dog")
    places = torch.tensor([known.index(name) for name in names])
    moved = form_of(y).renumbered(y, places, len(known))
    assert form_of(moved) is form_of(y)
    assert moved.dtype == y.dtype
    said = [set(words.split(" + ")) for words in targets.named(moved, known)]
    assert said == [set(words.split(" + ")) for words in targets.named(y, names)]


def test_targets_in_words() -> None:
    assert targets.named(Y[:3], ("a", "b", "c")) == ["c", "a", "c"]
    assert targets.named(SETS, ("a", "b", "c")) == ["a + b", "", "a + b", "b", "c"]
    mixed = torch.tensor([[0.3, 0.0, 0.7], [0.0, 1.0, 0.0]])
    assert targets.named(mixed, ("a", "b", "c")) == ["a + c", "b"]


def test_chances_let_classes_come_alike_often() -> None:
    chances = CLASS_INDICES.chances(Y, 4)
    assert chances.dtype == torch.float64
    for k in range(3):
        assert math.isclose(float(chances[k == Y].sum()), 1.0)
    with pytest.raises(UsageError, match="balance=sampler needs one class a picture"):
        LABEL_SETS.chances(SETS, 3)


def test_nobody_else_asks_how_many_axes_targets_have() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "data" / "targets.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("ndim", "dim"):
                of = ast.unparse(node.value)
                asked = of in ("y", "target", "targets", "truth") or of.endswith(".y")
                assert not asked, f"{path.name}, line {node.lineno}: {of}.{node.attr}"
