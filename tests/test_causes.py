"""The causes of the training doctor, each by hand: what it says of a look at its limit, and nothing short of
it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from neocog.data.dataset import Split
from neocog.events import Epoch
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import Start, override
from neocog.training.diagnosis import causes, held_out
from neocog.training.diagnosis.causes import Case
from neocog.training.diagnosis.evidence import Evidence

RECIPE = override(RECIPES["m1"], ["optim.kind=sgd", "optim.lr=0.5"])
LOOK = Evidence(step=1, loss=2.0, known=2.0, right=0.1, low=0.0, high=1.0, spread=1.0)
DIVIDED = ("preprocess.scale=unit", "preprocess.mean=null", "preprocess.std=null")
HE = ("model.init=he",)


def case(**changes: Any) -> Case:
    return Case(RECIPE, [replace(LOOK, **changes)], 0.5)


FOUND = {
    "scaled_twice": (
        case(low=-0.01, high=0.0299),
        case(low=-0.02, high=0.03),
        "inputs scaled twice",
        "The network is given numbers between -0.01 and 0.03: the pictures are divided twice, or by too "
        "much.",
        "Scale them once: --set preprocess.scale=unit.",
        DIVIDED,
        {"lowest input": -0.01, "highest input": 0.0299},
    ),
    "frozen": (
        case(still=("features.conv1.weight", "features.conv1.bias")),
        case(),
        "a frozen part that was never trained",
        "2 weight tensors (features.conv1.weight ...) are frozen as they were drawn at random: that part of "
        "the "
        "network learns nothing.",
        "Thaw it (requires_grad), or begin with trained weights (--from).",
        (),
        {"frozen tensors": 2.0},
    ),
    "not_scaled": (
        case(low=-20.0, high=3.0),
        case(low=-19.9, high=19.9),
        "inputs not scaled",
        "The network is given numbers up to 20, and first weights are made for numbers about 1.",
        "Divide pixels by 255: --set preprocess.scale=unit.",
        DIVIDED,
        {"lowest input": -20.0, "highest input": 3.0},
    ),
    "too_fast": (
        case(moved={"a": 0.25}),
        case(moved={"a": 0.19}),
        "learning rate too high",
        "At learning rate 0.5 steps move the weights by 25 % of their size each: they undo one another.",
        "Begin again with a lower rate: --set optim.lr=0.04.",
        ("optim.lr=0.04",),
        {"share of its size that a step moves": 0.25, "learning rate": 0.5},
    ),
    "too_large": (
        case(loss=10.0, gradients={"a": 3.0, "b": 7.0}),
        case(loss=9.9),
        "exploding gradients",
        "Before the first step the loss was 10, 5 times that of a guess: the first weights are too large "
        "and what "
        "flows through them grows from layer to layer.",
        "Begin with smaller ones: --set model.init=he.",
        HE,
        {"first loss": 10.0, "loss of a guess": 2.0, "largest gradient": 7.0},
    ),
    "saturated": (
        case(saturated={"features.sigmoid1": 0.95, "features.sigmoid2": 0.91, "head.tanh": 0.9}),
        case(saturated={"features.sigmoid1": 0.9}),
        "saturated units",
        "95 % of the numbers of sigmoid1 lie at the flat ends of its curve, where no gradient passes.",
        "Begin with smaller weights and small inputs: --set model.init=glorot.",
        ("model.init=glorot",),
        {"saturated share of features.sigmoid1": 0.95, "saturated share of features.sigmoid2": 0.91},
    ),
    "dead": (
        case(dead={"features.relu1": 0.95, "head.relu2": 0.91, "head.relu3": 0.9}),
        case(dead={"features.relu1": 0.9}),
        "dead ReLUs",
        "95 % of the channels of relu1 are zero for every picture: no gradient reaches what is below.",
        "Begin again with fresh weights, biases at zero: --set model.init=he.",
        HE,
        {"dead share of features.relu1": 0.95, "dead share of head.relu2": 0.91},
    ),
    "vanishing": (
        case(spread=0.01, gradients={"a": 0.5, "b": 1.0}),
        case(spread=0.0101, gradients={"a": 0.0011, "b": 1.0}),
        "vanishing gradients",
        "Two pictures make answers that differ by 0.01, and the gradient in the first layer is 0.5 of that "
        "in the "
        "last: the layers hardly hear of one another.",
        "Begin with larger weights (--set model.init=he), put ReLUs in the place of sigmoids, or normalise "
        "(batchnorm).",
        HE,
        {"difference between answers": 0.01, "gradient of the first layer over the last": 0.5},
    ),
    "too_slow": (
        case(step=100, moved={"a": 4e-5}),
        case(step=100, moved={"a": 5e-5}),
        "learning rate too low",
        "At learning rate 0.5 a step moves the weights by 4e-05 of their size: nothing has happened in 100 "
        "steps.",
        "Take a higher one: --set optim.lr=250.",
        ("optim.lr=250",),
        {"share of its size that a step moves": 4e-5, "learning rate": 0.5},
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_cause_in_words_and_figures(name: str) -> None:
    at, short, key, sentence, cure, changes, evidence = FOUND[name]
    found = getattr(causes, name)(at)
    assert (found.name, found.sentence, found.cure, found.changes) == (key, sentence, cure, changes)
    assert dict(found.evidence) == evidence
    assert getattr(causes, name)(short) is None


def test_every_cause_is_here() -> None:
    assert {cause.__name__ for cause in (*causes.CERTAIN, *causes.CAUSES)} == set(FOUND)


def test_a_gradient_that_is_lost_vanishes_too() -> None:
    assert causes.vanishing(case(gradients={"a": 0.001, "b": 1.0})) is not None


@pytest.mark.parametrize(
    ("later", "what"),
    [
        ({"loss": math.nan}, "they made the loss rise"),
        ({"loss": 4.1}, "they made the loss rise"),
        ({"dead": {"a": 0.91}}, "they killed ReLUs"),
        ({"loss": 3.9}, None),
    ],
)
def test_steps_of_a_tenth_are_too_wide_where_something_came_of_them(
    later: dict[str, Any], what: str | None
) -> None:
    begun = replace(LOOK, moved={"a": 0.1})
    found = causes.too_fast(Case(RECIPE, [begun, replace(LOOK, step=9, **later)], 0.5))
    assert (found and found.sentence.rpartition(": ")[2]) == (what and f"{what}.")
    # after a resume the first steps are not known
    assert causes.too_fast(Case(RECIPE, [replace(begun, step=9, **later)], 0.5)) is None


def test_momentum_gathers() -> None:
    """Steps of SGD add up to 1 / (1 - momentum) of one; the rate is brought down by at least 0.3."""
    fast = override(RECIPE, ["optim.kind=momentum", "optim.momentum=0.9"])
    found = causes.too_fast(Case(fast, [replace(LOOK, moved={"a": 0.021})], 0.5))
    assert found is not None
    assert found.changes == ("optim.lr=0.0476",)
    assert causes.too_fast(Case(fast, [replace(LOOK, moved={"a": 0.019})], 0.5)) is None
    slight = causes.too_fast(Case(RECIPE, [replace(LOOK, moved={"a": 0.08}), replace(LOOK, loss=5.0)], 0.5))
    assert slight is not None
    assert slight.changes == ("optim.lr=0.125",)


def test_a_frozen_part_is_thawed_in_its_phase() -> None:
    held = override(RECIPE, ["freeze=conv1"])
    still = replace(LOOK, still=("a",))
    found = causes.frozen(Case(held, [still], 0.5))
    assert found is not None
    assert (found.changes, found.cure.split(",")[0]) == (("freeze=null",), "Thaw it (--set freeze=null)")
    assert found.sentence.startswith("1 weight tensor (a) is frozen as it was drawn at random")
    phase = held.phases[0]
    both = held.model_copy(update={"phases": (phase.model_copy(update={"freeze": None}), phase)})
    second = causes.frozen(Case(both, [still], 0.5))
    assert second is not None
    assert second.changes == ("phases.1.freeze=null",)
    borrowed = held.model_copy(update={"start": Start(name="lenet")})
    assert causes.frozen(Case(borrowed, [still], 0.5)) is None


def test_what_is_left_where_no_cause_fits() -> None:
    stuck = case(step=300)
    astray = causes.labels_astray(stuck, 0.97)
    assert (astray.name, astray.changes) == ("labels that do not belong to their pictures", ())
    assert astray.sentence == (
        "After 300 steps the loss is that of a guess (2), though a fresh copy of the network learned 97 % "
        "of a few "
        "pictures by heart: nothing in the pictures tells their labels."
    )
    assert astray.cure == (
        "Look at pictures beside their labels (neocog look) and mend what pairs them: the order of a table, "
        "the "
        "names in it, the folders."
    )
    assert dict(astray.evidence) == {"loss": 2.0, "loss of a guess": 2.0, "learned by heart": 0.97}
    unable = causes.not_even_by_heart(stuck, 0.2)
    assert (unable.name, unable.changes) == ("a network that cannot learn even a few pictures", ())
    assert unable.sentence == (
        "After 300 steps the loss is that of a guess (2), and a fresh copy of the network learned only 20 % "
        "of a "
        "few pictures by heart: it is the network, not the pictures."
    )
    assert unable.cure == (
        "Look at it (neocog summary): a layer that is too narrow, a pool that leaves nothing, too many "
        "layers "
        "without batchnorm."
    )
    assert dict(unable.evidence) == {"loss": 2.0, "loss of a guess": 2.0, "learned by heart": 0.2}


def test_evidence_is_summed_up() -> None:
    """Stuck from 97 % of a guess's loss on; the pace is the middle one of those that move."""
    assert replace(LOOK, loss=1.95).stuck
    assert not replace(LOOK, loss=1.94).stuck
    assert replace(LOOK, loss=math.inf).stuck
    assert replace(LOOK, moved={"a": 0.0, "b": 0.3, "c": 0.1, "d": 0.2}).pace == 0.2
    assert LOOK.pace == 0
    assert replace(LOOK, gradients={"a": 2.0, "b": 3.0, "c": 8.0}).reach == 0.25
    assert replace(LOOK, gradients={"a": 2.0}).reach == 1
    assert replace(LOOK, gradients={"a": 2.0, "b": 0.0}).reach == 1


# --- by held-out pictures ---------------------------------------------------------------------------------


def course(*others: float, here: float = 0.995, watched: Any = "held out") -> list[Epoch]:
    """Epochs with one accuracy on training pictures, and these on others."""
    return [
        Epoch(
            n, n, {"loss": 0.1, "accuracy": here}, {"loss": 0.2, "accuracy": there}, 0.1, 1, 1, True, watched
        )
        for n, there in enumerate(others, start=1)
    ]


def test_over_fitting_in_words_and_figures() -> None:
    found = held_out.over_fitting(course(0.5, 0.92, 0.9, 0.91, watched="test"))
    assert found is not None
    assert (found.name, found.sentence) == (
        "over-fitting",
        "Accuracy is 99.5 % on training pictures and 91.0 % on test ones: the network learns the training "
        "pictures by heart.",
    )
    assert found.changes == ("augment.shift_width=0.1", "augment.shift_height=0.1", "augment.rotation=10")
    assert found.cure == (
        "Vary the training pictures (--set augment.shift_width=0.1 --set augment.shift_height=0.1 --set "
        "augment.rotation=10) or bring more of them."
    )
    assert dict(found.evidence) == {
        "training": 0.995, "held out": 0.91, "held out, best": 0.92, "held-out loss": 0.2,
    }  # fmt: skip
    assert held_out.over_fitting(course(0.9, 0.9, 0.9, here=0.989)) is None
    assert held_out.over_fitting(course(0.9, 0.936, 0.9)) is None  # at its best it is 0.059 less
    assert "on held-out ones" in str(held_out.over_fitting(course(0.9, 0.9, 0.9)))


def test_pictures_of_another_kind_in_words_and_figures() -> None:
    dark = torch.randint(0, 100, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    train, others = Split(dark, torch.zeros(40)), Split(255 - dark, torch.zeros(40))
    found = held_out.unlike(course(0.3, here=0.5), train, others)
    assert found is not None
    assert (found.name, found.sentence, found.changes) == (
        "held-out pictures unlike those of the training",
        "Accuracy is 50.0 % on training pictures and 30.0 % on held-out ones, and 100 % of pictures can be "
        "told "
        "apart, by brightness and colour alone, by which of the two they are from.",
        (),
    )
    assert found.cure == (
        "Divide all pictures anew, at random (--set data.held_out=0.2), or train on pictures like those held "
        "out."
    )
    assert dict(found.evidence) == {"training": 0.5, "held out": 0.3, "told apart": 1.0}
    assert held_out.unlike(course(0.31, here=0.5), train, others) is None  # not so far
    assert held_out.unlike(course(0.3, here=0.5), train, train) is None  # the same pictures
    assert held_out.unlike([], train, others) is None
    few = Split(dark[:15], torch.zeros(15))
    assert held_out.told_apart(few, others) == 0.5  # too few to tell


def test_a_class_that_is_never_answered_in_words_and_figures() -> None:
    def missing(share: float, others: float = 0.9, looks: int = 1, balance: str = "none") -> Any:
        look = replace(LOOK, never={"a": 0.3, "b": share}, others=others, fair=0.2)
        training = override(RECIPE, [f"balance={balance}"])
        return held_out.never_answered(Case(training, [look] * looks, 0.5))

    found = missing(0.09, others=0.6)
    assert (found.name, found.changes) == ("a class that is never answered", ("balance=sampler",))
    assert found.sentence == (
        "Nothing is ever taken for 'b', which 9.0 % of the training pictures show, while 60 % of the others "
        "are "
        "right."
    )
    assert found.cure == (
        "Let rare classes count as much as common ones: --set balance=sampler; better, bring more pictures "
        "of "
        "them."
    )
    assert dict(found.evidence) == {"right, of the others": 0.6, "share of a": 0.3, "share of b": 0.09}
    assert missing(0.09, others=0.59) is None
    for share, changes in ((0.0, ()), (0.09, ())):
        found = missing(share, balance="sampler")
        assert found.changes == changes
        assert found.cure == (
            "Bring training pictures of it, or divide all pictures anew (--set data.held_out=0.2)."
        )
    assert missing(0.1, looks=2) is None  # half of a fair share is common: three looks, and nine in ten right
    assert missing(0.1, looks=3) is not None
    assert missing(0.1, others=0.89, looks=3) is None
    assert held_out.never_answered(case()) is None
