"""The named recipes: each with its source and what it reached there. Ids are those of
`docs/experiments.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neocog.data import DATASETS, Data
from neocog.data.augment.augment import Augment
from neocog.data.folders.extent import Extent
from neocog.optim.settings import Optim
from neocog.pictures.decode import Preprocess
from neocog.pictures.seen import decoded_as
from neocog.recipes.recipe import Phase, Recipe, Stop
from neocog.recipes.restoring import RESTORING
from neocog.show.words import plural
from neocog.zoo import Model, architecture
from neocog.zoo.layer_list import parse

LAST = Stop(select="last")
RAW, UNIT = Preprocess(scale="raw"), Preprocess(scale="unit")
STANDARD = Preprocess(scale="one")
CENTRED = Preprocess(scale="128")
RMSPROP = Optim(kind="rmsprop")
ADADELTA = Optim(kind="adadelta")
SGD_01 = Optim(kind="sgd", lr=0.1)


def _recipe(data: Data, model: str, phase: Phase, *, preprocess: Preprocess, **rest: Any) -> Recipe:
    """A recipe whose pictures are fitted as the data set's row says: pictures of any size are predicted so."""
    fitted = preprocess.model_copy(update={"fit": DATASETS[data.name].fit})
    network = Model(name=model, init=rest.pop("init", None))
    return Recipe(data=data, model=network, phases=(phase,), preprocess=fitted, **rest)


def _phase(epochs: int, optim: Optim, augment: Augment | None = None) -> Phase:
    return Phase(epochs=epochs, optim=optim, augment=augment or Augment())


MNIST = Data(name="mnist")
FASHION = Data(name="fashion-mnist")
CIFAR = Data(name="cifar10")


def _watching_test(data: Data) -> Data:
    return data.model_copy(update={"val": "test"})


_C3 = Augment(rotation=30, shift_width=0.2, shift_height=0.2, flip="horizontal", fill="nearest")

RECIPES: dict[str, Recipe] = {
    "lenet-mnist": _recipe(
        Data(name="mnist", held_out=0.2), "lenet", _phase(10, Optim(kind="adam")), preprocess=UNIT, batch=128,
        title="LeNet on MNIST (M9, 10 epochs)", source="A, M9: 99.15 % after 20 epochs, 99.1 % after 10", expect=0.991,
    ),
    "digits": _recipe(
        Data(name="digits", held_out=0.15), "m7", _phase(15, Optim(kind="adam", schedule="one-cycle", lr=3e-3)),
        preprocess=UNIT, batch=32, title="M7's network on the embedded 8x8 digits", source="ours",
    ),
    "m0": _recipe(MNIST, "m0", _phase(30, SGD_01), preprocess=UNIT, batch=10,
        title="dense 100 sigmoid", source="B, M0: 94 %", expect=0.94),
    "m1": _recipe(MNIST, "m1", _phase(20, Optim(kind="sgd", lr=0.01)), preprocess=UNIT, batch=128,
        title="softmax regression", source="A, M1: 90.71 %", expect=0.9071),
    "m2": _recipe(MNIST, "m2", _phase(30, Optim(kind="sgd", lr=0.01)), preprocess=RAW, batch=100,
        title="dense 400 sigmoid, pixels 0..255", source="B, M2: 96.5 %", expect=0.965),
    "m3": _recipe(MNIST, "m2", _phase(30, Optim(kind="sgd", lr=0.01)), preprocess=UNIT, batch=100,
        title="M2 with pixels 0..1", source="B, M3: a little over 92 %", expect=0.92),
    "m4": _recipe(MNIST, "m2", _phase(30, ADADELTA), preprocess=UNIT, batch=100,
        title="M3 with Adadelta", source="B, M4: 98.25 %", expect=0.9825),
    "m5": _recipe(MNIST, "m5", _phase(30, ADADELTA), preprocess=UNIT, batch=100,
        title="M4 with ReLU", source="B, M5: 98.4 %", expect=0.984),
    "m6": _recipe(MNIST, "m6", _phase(8, ADADELTA), preprocess=UNIT, batch=100,
        title="one convolution", source="B, M6: 98.55 %", expect=0.9855),
    "m7": _recipe(MNIST, "m7", _phase(8, ADADELTA), preprocess=UNIT, batch=100,
        title="two convolutions", source="B, M7: 98.9 %", expect=0.989),
    "m8": _recipe(MNIST, "m8", _phase(8, ADADELTA), preprocess=UNIT, batch=100,
        title="two convolutions and dropout", source="B, M8: over 99 %", expect=0.99),
    "m9": _recipe(Data(name="mnist", held_out=0.2), "lenet", _phase(20, Optim(kind="adam")), preprocess=UNIT, batch=128,
        title="LeNet, 20 epochs", source="A, M9: 99.15 %", expect=0.9915),
    "m10": _recipe(MNIST, "m10", _phase(5, Optim(kind="momentum", lr=0.1)), preprocess=UNIT, batch=128,
        title="conv 8, conv 16, dense 32 with batch norm", source="C, M10: 98.44 %", expect=0.9844),
    "e1": _recipe(_watching_test(FASHION), "e1", _phase(10, Optim(kind="adam")), preprocess=UNIT, batch=32, stop=LAST,
        title="three convolutions on Fashion-MNIST", source="E, E1: 91.00 %", expect=0.91),
    "e2": _recipe(FASHION.model_copy(update={"limit": 500, "val": "test"}), "e2", _phase(20, Optim(kind="adam")),
        preprocess=UNIT, batch=40, stop=LAST, title="500 pictures only", source="E, E2: 79.24 %", expect=0.7924),
    "e3": _recipe(FASHION.model_copy(update={"limit": 500, "val": "test"}), "e2",
        _phase(50, Optim(kind="adam"), Augment(shift_height=3, flip="horizontal", fill="nearest")),
        preprocess=UNIT, batch=40, stop=LAST, title="E2 with augmentation", source="E, E3: 81.09 %", expect=0.8109),
    "e7-dense": _recipe(FASHION, "e7-dense", _phase(10, Optim(kind="momentum", lr=0.1)), preprocess=UNIT, batch=128,
        title="C's dense network on Fashion-MNIST", source="C, E7"),
    "e7": _recipe(FASHION, "e7", _phase(10, Optim(kind="momentum", lr=0.1)), preprocess=UNIT, batch=128,
        title="C's convolutional network on Fashion-MNIST", source="C, E7: 91.12 %", expect=0.9112),
    "c0": _recipe(CIFAR, "c0", _phase(20, ADADELTA), preprocess=UNIT, batch=100,
        title="dense network", source="B, C0: about 50 %", expect=0.5),
    "c1": _recipe(Data(name="cifar10", held_out=0.2), "c1", _phase(20, RMSPROP), preprocess=UNIT, batch=128,
        title="one convolution, dense 512", source="A, C1: 66.86 %", expect=0.6686),
    "c2": _recipe(_watching_test(CIFAR), "c2", _phase(50, RMSPROP), preprocess=STANDARD, batch=64, stop=LAST,
        title="three blocks of two convolutions", source="A, C2: 82 %", expect=0.82),
    "c3": _recipe(_watching_test(CIFAR), "c2", _phase(50, RMSPROP, _C3), preprocess=STANDARD, batch=64, stop=LAST,
        title="C2 with augmentation", source="A, C3: 85.91 %", expect=0.8591),
    "c4": _recipe(CIFAR, "c4", _phase(10, ADADELTA), preprocess=RAW, batch=100,
        title="M8's network, pixels 0..255", source="B, C4: 66 % after 10 epochs", expect=0.66),
    "c5": _recipe(CIFAR, "c5", _phase(20, ADADELTA), preprocess=RAW, batch=100,
        title="C4 with two more convolutions", source="B, C5: 75 % after 20 epochs", expect=0.75),
    "c6": _recipe(CIFAR, "c6",
        _phase(25, Optim(kind="rmsprop", lr=1e-4, schedule="inverse-time", decay=1e-6)), preprocess=UNIT, batch=32,
        title="two pairs of convolutions, dense 512", source="C, C6: about 74 %", expect=0.74),
    "c7": _recipe(CIFAR.model_copy(update={"val": "none"}), "c7", _phase(25, Optim(kind="adam")), preprocess=RAW, batch=32,
        order="as given", title="D's network, pixels 0..255, no shuffling", source="D, C7: training accuracy 72.27 %"),
    "c9": _recipe(_watching_test(CIFAR), "c9", _phase(50, RMSPROP), preprocess=STANDARD, batch=64, stop=LAST,
        title="C2 with strides in place of pooling", source="B, C9: similar or better"),
    "g1": _recipe(Data(name="shapes", task="colour"), "g1", _phase(20, SGD_01.model_copy(update={"clip": 1.0})),
        # its two first filters must not both be deaf to a colour, nor die of a large step: docs/experiments.md
        preprocess=CENTRED, init="opposed", batch=16,
        title="name the colour", source="C, G1: 96.3 %", expect=0.963),
    "g2": _recipe(Data(name="shapes", task="shape"), "g2", _phase(50, SGD_01), preprocess=UNIT, batch=16,
        title="name the shape", source="C, G2: 96 %", expect=0.96),
    "g3": _recipe(Data(name="shapes", task="both"), "g3", _phase(30, SGD_01), preprocess=UNIT, batch=16,
        title="name colour and shape", source="C, G3: 97 %", expect=0.97),
    **RESTORING,
}  # fmt: skip

FOR_DATA = {name: row.recipe for name, row in DATASETS.items() if row.recipe}
"""The recipe that `neocog train DATASET` uses, as the data set's row says."""


def for_data(name: str) -> Recipe:
    """The usual recipe of data set `name`, which takes the place of the one that the recipe was written for."""
    recipe = RECIPES[FOR_DATA[name]]
    if recipe.data.name == name:
        return recipe
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"name": name, "task": None}),
            "preprocess": recipe.preprocess.model_copy(update={"fit": DATASETS[name].fit}),
            "expect": None,
        }
    )


def _net(blocks: tuple[int, ...]) -> list[dict[str, Any]]:
    """Convolutions with batch norm, each followed by a pool, then a global pool and the answer."""
    body = [
        layer
        for filters in blocks
        for layer in (
            {"kind": "conv", "filters": filters, "kernel": 3, "padding": "same", "bias": False},
            {"kind": "batchnorm", "momentum": 0.9},
            {"kind": "relu"},
            {"kind": "maxpool", "size": 2, "padding": "same"},
        )
    ]
    head = {"kind": "dense", "units": "classes", "activation": "softmax"}
    return [*body, {"kind": "globalpool"}, {"kind": "dropout", "rate": 0.3}, head]


PHOTO_NET = _net((32, 64, 128, 256))
"""A small network for photos of any class folders."""
SMALL_NET = _net((32, 64, 128))
"""The same for pictures of a few dozen pixels."""

PHOTO_STEPS = 800  # training steps that a folder gets at least, however few its pictures are
PHOTO_EPOCHS = (15, 60)  # fewest and most

COVERAGE = 0.95  # of a user's own kind of pictures that are not called unlike them

SMALL = 64  # pixels a side up to which pictures are taken as they are
SIDE = 96  # pixels a side for larger ones
LOPSIDED = 5  # times as many pictures in the largest class from which the loss is balanced


def for_model(recipe: Recipe, model: Model) -> tuple[Recipe, tuple[str, ...]]:
    """`recipe` with another network, trained as that network can be, and the reasons as sentences."""
    row = architecture(model.name) if model.name else None
    reasons: tuple[str, ...] = ()
    if row is not None and row.channels == 1 and recipe.preprocess.channels is None:
        grey = recipe.preprocess.model_copy(update={"channels": 1})
        recipe = recipe.model_copy(update={"preprocess": grey})
        reasons = (f"{row.name} is shown grey pictures; --set preprocess.channels=3 for colours",)
    lr = row.lr if row is not None else None
    if lr is None:
        return recipe.model_copy(update={"model": model}), reasons
    phases = [
        phase.model_copy(update={"optim": phase.optim.model_copy(update={"kind": "adam", "lr": lr})})
        for phase in recipe.phases
    ]
    optim = recipe.phases[0].optim
    reason = (
        f"{model.name} learns from scratch under Adam at {lr:g}, which takes the place of this recipe's "
        f"{optim.kind} at {optim.rate:g}; --set optim.kind=... optim.lr=... for another"
    )
    return recipe.model_copy(update={"model": model, "phases": tuple(phases)}), (*reasons, reason)


def for_folder(found: Extent) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe for pictures of one's own, and the reasons for it as sentences."""
    batch = 32 if found.pictures >= 320 else 16
    epochs = min(max(round(PHOTO_STEPS * batch / max(found.pictures, 1)), PHOTO_EPOCHS[0]), PHOTO_EPOCHS[1])
    small = found.size is not None and max(found.size) <= SMALL
    size = found.size if found.size is not None and small else (SIDE, SIDE)
    signs = small and found.grey
    recipe = Recipe(
        data=Data(name="folder", held_out=0.15),
        model=Model(layers=parse(SMALL_NET if small else PHOTO_NET), init="he"),
        preprocess=Preprocess(
            size=size,
            channels=1 if found.grey else 3,
            fit="pad",
            scale="channels",
            levels=found.levels,
            ground=found.ground,
        ),
        phases=(
            Phase(
                epochs=epochs,
                optim=Optim(kind="adamw", lr=3e-3, weight_decay=0.05, schedule="one-cycle", clip=1.0),
                augment=Augment(
                    flip="none" if signs else "horizontal",
                    rotation=10,
                    shift_height=0.1,
                    shift_width=0.1,
                    zoom=0.1,
                ),
            ),
        ),
        batch=batch,
        balance="loss" if found.imbalance > LOPSIDED else "none",
        label_smoothing=0.1,
        coverage=COVERAGE,
        title=f"{found.pictures} pictures of one's own in {found.classes} classes",
        source="ours",
    )
    return recipe, tuple(_reasons(found, recipe, small, signs))


def _reasons(found: Extent, recipe: Recipe, small: bool, signs: bool) -> Iterator[str]:
    height, width = recipe.preprocess.size or (0, 0)
    steps = -(-found.pictures // recipe.batch) * recipe.epochs
    if small:
        yield f"size {height}x{width}, as the pictures are"
    else:
        yield f"size {height}x{width}, padded so that nothing is cut off: a CPU trains that in minutes"
    yield f"{'grey' if found.grey else 'colour'}, as the pictures are"
    yield from decoded_as(recipe.preprocess)
    yield f"{plural(recipe.epochs, 'epoch')} in batches of {recipe.batch}, about {steps} steps: few pictures need as many as many do"
    if signs:
        yield "shifts, small rotations and zooms, but no flips: small grey pictures may be signs, which mirroring changes"
    else:
        yield "flips, shifts, small rotations and zooms make up for few pictures; label smoothing against overconfidence"
    if recipe.balance == "loss":
        yield f"the largest class has {found.imbalance:.0f} times the smallest: the loss lets each class count alike"
    if found.pictures < 2000 * found.classes:
        yield (
            f"about {found.pictures // max(found.classes, 1)} pictures a class are few for a network that starts "
            "from nothing: expect modest accuracy"
        )
