"""What a recipe on borrowed eyes says of itself."""

from __future__ import annotations

import pytest

from neocog.pictures.preprocess import Preprocess
from neocog.recipes.borrowing import STRENGTH, borrowing, held_back
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import Recipe, Start, override
from neocog.zoo import Model

EYES = Start(name="efficientnet_lite1", sha256="0" * 64)


def lent(*changes: str, tune: tuple[str, ...] = (), pictures: int = 200) -> tuple[Recipe, tuple[str, ...]]:
    recipe = override(RECIPES["digits"], changes)
    return borrowing(
        recipe,
        start=EYES,
        model=Model(name="efficientnet_lite1"),
        preprocess=Preprocess(size=(240, 240)),
        pictures=pictures,
        tune=tune,
    )


def test_a_loss_that_lets_each_class_count_alike_is_said() -> None:
    _, plain = lent()
    _, balanced = lent("balance=loss")
    assert balanced[: len(plain)] == plain
    (more,) = balanced[len(plain) :]
    assert "each class count alike" in more
    assert "--set balance=none" in more


def test_every_stage_that_is_freed_is_said() -> None:
    _, words = lent(tune=("stage7", "stage6"))
    assert [word.rpartition(" ")[2] for word in words[1:]] == ["stage7", "stage6"]


def test_where_nothing_can_be_left_out_the_head_is_held_back_as_it_was() -> None:
    recipe, _ = lent()
    same, (why,) = held_back(recipe, None)
    assert same == recipe
    assert why.startswith(f"weight decay {STRENGTH:g} of the head: cross-validation needs two pictures")


@pytest.mark.parametrize(("pictures", "epochs"), [(10, 60), (200, 40), (10_000, 20)])
def test_the_head_gets_about_as_many_steps_of_few_pictures_as_of_many(pictures: int, epochs: int) -> None:
    recipe, words = lent(pictures=pictures)
    assert recipe.phases[0].epochs == epochs
    assert f" under a new head ({epochs} epochs)" in words[0]
