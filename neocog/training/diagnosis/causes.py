"""Causes: why a network does not learn, each recognised by the numbers of a few looks, with what mends it.

A complaint comes first (the loss is where it was, or no number any more), then its cause: the first row of
`CAUSES` that the evidence fits. What is wrong whatever the loss says stands in `CERTAIN`. Each row is a
function of a `Case`; the limits in them were fixed on half of the networks of `bench/doctor.py`, and its
figures come from the other half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from neocog.recipes.recipe import Recipe
from neocog.show.words import percent, plural
from neocog.training.diagnosis.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Case:
    """A training as the doctor knows it: its recipe, and the evidence of every look, the newest last.
    `rate` is the learning rate of the newest look.
    """

    recipe: Recipe
    looks: Sequence[Evidence]
    rate: float

    @property
    def now(self) -> Evidence:
        return self.looks[-1]

    @property
    def first(self) -> Evidence | None:
        """The look at the first step; None where the training goes on from a saved state."""
        return self.looks[0] if self.looks[0].step == 1 else None

    @property
    def first_pace(self) -> float:
        """How far the first steps move the weights, as a share of their size, once momentum has gathered."""
        optim = self.recipe.phases[0].optim
        gathered = 1 / (1 - optim.momentum) if optim.kind in ("momentum", "nesterov") else 1.0
        return self.looks[0].pace * gathered


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`name` is the key of the cause, `sentence` says what is wrong, `cure` what mends it; `changes` are what
    to give to `--set`, empty where no field of the recipe mends it; `evidence` the numbers behind it.
    """

    name: str
    sentence: str
    cure: str
    changes: tuple[str, ...]
    evidence: Mapping[str, float]


Cause = Callable[[Case], Diagnosis | None]


def set_words(*changes: str) -> str:
    return " ".join(f"--set {change}" for change in changes)


def _for_all_phases(recipe: Recipe, field: str) -> tuple[str, ...]:
    """`field` of every phase, as `--set` names it."""
    if len(recipe.phases) == 1:
        return (field,)
    return tuple(f"phases.{number}.{field}" for number in range(len(recipe.phases)))


def _rate(case: Case, factor: float) -> tuple[str, ...]:
    """The changes that multiply the learning rate of every phase."""
    fields = _for_all_phases(case.recipe, "optim.lr")
    return tuple(
        f"{field}={phase.optim.rate * factor:.3g}"
        for field, phase in zip(fields, case.recipe.phases, strict=True)
    )


def scaled_twice(case: Case) -> Diagnosis | None:
    """Numbers so close together that a network hardly sees a picture."""
    width = case.now.high - case.now.low
    if width >= NARROW:
        return None
    change = "preprocess.scale=unit"
    return Diagnosis(
        "inputs scaled twice",
        f"The network is given numbers between {case.now.low:.2g} and {case.now.high:.2g}: "
        "the pictures are divided twice, or by too much.",
        f"Scale them once: {set_words(change)}.",
        (change, "preprocess.mean=null", "preprocess.std=null"),
        {"lowest input": case.now.low, "highest input": case.now.high},
    )


def frozen(case: Case) -> Diagnosis | None:
    """Weights that are as they were drawn, and stay so."""
    if not case.now.still or case.recipe.start is not None:
        return None
    names = case.now.still
    phases = [n for n, phase in enumerate(case.recipe.phases) if phase.freeze is not None]
    one = len(case.recipe.phases) == 1
    changes = tuple("freeze=null" if one else f"phases.{n}.freeze=null" for n in phases)
    thaw = set_words(*changes) if changes else "requires_grad"
    frozen = "is frozen as it was" if len(names) == 1 else "are frozen as they were"
    return Diagnosis(
        "a frozen part that was never trained",
        f"{plural(len(names), 'weight tensor')} ({names[0]}{' ...' if len(names) > 1 else ''}) {frozen} "
        "drawn at random: that part of the network learns nothing.",
        f"Thaw it ({thaw}), or begin with trained weights (--from).",
        changes,
        {"frozen tensors": float(len(names))},
    )


def not_scaled(case: Case) -> Diagnosis | None:
    """Pixels as they come, in a network begun for numbers about one."""
    now = case.now
    if max(abs(now.low), abs(now.high)) < WIDE:
        return None
    change = "preprocess.scale=unit"
    return Diagnosis(
        "inputs not scaled",
        f"The network is given numbers up to {max(abs(now.low), abs(now.high)):.0f}, and first weights are "
        "made "
        "for numbers about 1.",
        f"Divide pixels by 255: {set_words(change)}.",
        (change, "preprocess.mean=null", "preprocess.std=null"),
        {"lowest input": now.low, "highest input": now.high},
    )


def too_fast(case: Case) -> Diagnosis | None:
    """Steps so wide that they undo one another, or kill ReLUs that were alive."""
    pace, first, now = case.first_pace, case.first, case.now
    if first is None:
        return None
    risen = not math.isfinite(now.loss) or max(look.loss for look in case.looks) > WILD * first.loss
    killed = _most(now.dead) > MOST >= _most(first.dead)
    if pace < (HASTE if risen or killed else RUSH):
        return None
    changes = _rate(case, min(GOOD_PACE / pace, 0.3))
    what = "killed ReLUs" if killed else "made the loss rise" if risen else "undo one another"
    return Diagnosis(
        "learning rate too high",
        f"At learning rate {case.rate:.3g} steps move the weights by {percent(pace, digits=0)} of their "
        "size each: they "
        f"{what}.",
        f"Begin again with a lower rate: {set_words(*changes)}.",
        changes,
        {"share of its size that a step moves": pace, "learning rate": case.rate},
    )


def too_large(case: Case) -> Diagnosis | None:
    """First weights that make everything after them grow from layer to layer."""
    first = case.first
    if first is None or first.loss < LOUD * first.known:
        return None
    change = "model.init=he"
    return Diagnosis(
        "exploding gradients",
        f"Before the first step the loss was {first.loss:.3g}, {first.loss / first.known:.0f} times that of "
        "a "
        "guess: the first weights are too large and what flows through them grows from layer to layer.",
        f"Begin with smaller ones: {set_words(change)}.",
        (change,),
        {
            "first loss": first.loss,
            "loss of a guess": first.known,
            "largest gradient": max(first.gradients.values(), default=0.0),
        },
    )


def saturated(case: Case) -> Diagnosis | None:
    """Sigmoids and tanhs at their flat ends, where no gradient passes."""
    flat = {name: share for name, share in case.looks[0].saturated.items() if share > MOST}
    if not flat:
        return None
    worst = max(flat, key=flat.__getitem__)
    change = "model.init=glorot"
    return Diagnosis(
        "saturated units",
        f"{percent(flat[worst], digits=0)} of the numbers of {_short(worst)} lie at the flat ends of "
        "its curve, where no "
        "gradient "
        "passes.",
        f"Begin with smaller weights and small inputs: {set_words(change)}.",
        (change,),
        {f"saturated share of {name}": share for name, share in flat.items()},
    )


def dead(case: Case) -> Diagnosis | None:
    """ReLUs that are zero for every picture from the first, and so never learn."""
    look = case.looks[0]
    gone = {name: share for name, share in look.dead.items() if share > MOST}
    if not gone:
        return None
    worst = max(gone, key=gone.__getitem__)
    change = "model.init=he"
    return Diagnosis(
        "dead ReLUs",
        f"{percent(gone[worst], digits=0)} of the channels of {_short(worst)} are zero for every "
        "picture: no gradient "
        "reaches what is "
        "below.",
        f"Begin again with fresh weights, biases at zero: {set_words(change)}.",
        (change,),
        {f"dead share of {name}": share for name, share in gone.items()},
    )


def vanishing(case: Case) -> Diagnosis | None:
    """What tells pictures apart gets lost on the way up, or the gradient on the way down."""
    look = case.looks[0]
    if look.spread > FAINT and look.reach > LOST:
        return None
    change = "model.init=he"
    return Diagnosis(
        "vanishing gradients",
        f"Two pictures make answers that differ by {look.spread:.1g}, and the gradient in the first layer is "
        f"{look.reach:.1g} of that in the last: the layers hardly hear of one another.",
        f"Begin with larger weights ({set_words(change)}), put ReLUs in the place of sigmoids, or normalise "
        "(batchnorm).",
        (change,),
        {"difference between answers": look.spread, "gradient of the first layer over the last": look.reach},
    )


def too_slow(case: Case) -> Diagnosis | None:
    """Steps so small that nothing happens."""
    pace = case.now.pace
    if not 0 < pace < CRAWL:
        return None
    changes = _rate(case, GOOD_PACE / pace)
    return Diagnosis(
        "learning rate too low",
        f"At learning rate {case.rate:.3g} a step moves the weights by {pace:.1g} of their size: nothing "
        "has happened "
        f"in {plural(case.now.step, 'step')}.",
        f"Take a higher one: {set_words(*changes)}.",
        changes,
        {"share of its size that a step moves": pace, "learning rate": case.rate},
    )


def _in_vain(case: Case) -> str:
    steps = plural(case.now.step, "step")
    return f"After {steps} the loss is that of a guess ({case.now.loss:.3g})"


def labels_astray(case: Case, share: float) -> Diagnosis:
    """What is left where 64 pictures are learned by heart and no rule is found for all."""
    return Diagnosis(
        "labels that do not belong to their pictures",
        f"{_in_vain(case)}, though a fresh copy of the network learned "
        f"{percent(share, digits=0)} of a few pictures by heart: nothing in the pictures tells their labels.",
        "Look at pictures beside their labels (neocog look) and mend what pairs them: the order of a table, "
        "the names in it, the folders.",
        (),
        {"loss": case.now.loss, "loss of a guess": case.now.known, "learned by heart": share},
    )


def not_even_by_heart(case: Case, share: float) -> Diagnosis:
    """What is left where even a few pictures are too much."""
    return Diagnosis(
        "a network that cannot learn even a few pictures",
        f"{_in_vain(case)}, and a fresh copy of the network learned only "
        f"{percent(share, digits=0)} of a few pictures by heart: it is the network, not the pictures.",
        "Look at it (neocog summary): a layer that is too narrow, a pool that leaves nothing, too many "
        "layers without batchnorm.",
        (),
        {"loss": case.now.loss, "loss of a guess": case.now.known, "learned by heart": share},
    )


def _most(shares: Mapping[str, float]) -> float:
    return max(shares.values(), default=0.0)


def _short(name: str) -> str:
    return name.removeprefix("features.")


NARROW, WIDE = 0.05, 20.0
"""Inputs nearer to one another are scaled too much, larger ones not at all."""
WILD, LOUD = 2.0, 5.0
"""Times the first loss, and times the loss of a guess."""
MOST = 0.9
"""The share of a layer's units that counts as nearly all."""
FAINT, LOST = 1e-2, 1e-3
"""Answers to different pictures that differ by less; first over last gradient."""
CRAWL, GOOD_PACE, HASTE, RUSH = 5e-5, 2e-2, 0.08, 0.2
"""Shares of their size by which steps move weights, once they have gathered way: nothing happens below the
first; trainings begin well with the second; trouble comes of the third, and the last is trouble by itself.
"""

CERTAIN: tuple[Cause, ...] = (scaled_twice, frozen)
"""Wrong whatever the loss is."""
CAUSES: tuple[Cause, ...] = (not_scaled, saturated, dead, too_large, vanishing, too_fast, too_slow)
"""Why a network may be stuck, the cause before its consequences."""
