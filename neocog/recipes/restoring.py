"""The recipes of networks that restore pictures: chapter D's autoencoders, a convolutional one, and one for
photos.
"""

from __future__ import annotations

from typing import Any, Literal

from neocog.data import Data
from neocog.data.damage import Damage
from neocog.optim.settings import Optim
from neocog.pictures.decode import Preprocess
from neocog.recipes.recipe import Phase, Recipe, Stop
from neocog.zoo import Model
from neocog.zoo.layer_list import parse

ALL_DIGITS = Data(name="mnist", held_out=0.0)
LAST = Stop(select="last")
HALF = Damage(mask=0.5, fill=128, seed=2048)
"""Half of the pixels at mid-grey, which is 0 after (x - 128) / 128."""
ADAM = Optim(kind="adam")


def _dense(units: int, activation: str) -> dict[str, Any]:
    return {"kind": "dense", "units": units, "activation": activation}


def _conv(filters: int, **more: Any) -> dict[str, Any]:
    return {"kind": "conv", "filters": filters, "kernel": 3, "padding": "same", "activation": "relu", **more}


def _layers(*entries: dict[str, Any], init: Literal["glorot", "he"] = "glorot") -> Model:
    return Model(layers=parse(list(entries)), init=init)


M12 = _layers(
    {"kind": "flatten"},
    *(_dense(units, "relu") for units in (64, 32, 64)),
    _dense(784, "tanh"),
    {"kind": "unflatten", "sizes": [28, 28, 1]},
)
M14 = _layers(
    {"kind": "flatten"},
    *(_dense(units, "sigmoid") for units in (32, 16, 512)),
    {"kind": "unflatten", "sizes": [32, 16, 1]},
)
ONE_LAYER = _layers({"kind": "flatten"}, _dense(784, "tanh"), {"kind": "unflatten", "sizes": [28, 28, 1]})
CONVOLUTIONAL = _layers(
    _conv(16),
    _conv(32, stride=2),
    _conv(64, stride=2),
    {"kind": "upsample"},
    _conv(32),
    _conv(16, kernel=4, kind="transposed-conv", stride=2),
    _conv(1, activation="tanh"),
    init="he",  # by Glorot's it answers black for every digit, and learns no more
)  # fmt: skip
PHOTOS = Model(layers=parse([*(_conv(n) for n in (32, 32, 32, 32)), _conv(3, activation="none")]), init="he")


def _recipe(model: Model, title: str, source: str, *, scale: Any = "128", **more: Any) -> Recipe:
    fields = {
        "data": ALL_DIGITS,
        "damage": HALF,
        "phases": (Phase(epochs=10, optim=ADAM),),
        "batch": 64,
        "stop": LAST,
        "preprocess": Preprocess(scale=scale, fit="stretch"),
        "precision": "float32",  # answers are the pixels themselves: bfloat16 has no more than 256 levels
    }
    return Recipe(**(fields | more), model=model, title=title, source=source)


RESTORING: dict[str, Recipe] = {
    "m12": _recipe(
        M12,
        "restoring digits of which half is lost, dense 64-32-64",
        "D, M12: training loss 0.0777 after 10 epochs",
        damage=HALF.model_copy(update={"redraw": "never"}),
    ),
    "m12-fresh": _recipe(M12, "M12 with damage drawn anew in every epoch", "ours"),
    "m12-conv": _recipe(CONVOLUTIONAL, "M12 with a convolutional network", "ours", precision="auto"),
    "m12-one-layer": _recipe(ONE_LAYER, "M12 with one layer", "D: the 784 weights of a pixel as a picture"),
    "m14": _recipe(
        M14,
        "restoring digits of 32x16 pixels, logistic 32-16-512",
        "D, M14: an exercise without a figure",
        precision="auto",
        scale="unit",
        preprocess=Preprocess(scale="unit", fit="stretch", size=(32, 16)),
    ),
    "restore": Recipe(
        data=Data(name="photos", held_out=0.15),
        model=PHOTOS,
        damage=Damage(noise=20, mask=0.02, scratches=1, blotches=1),
        preprocess=Preprocess(size=(64, 64), channels=3, scale="unit"),
        phases=(Phase(epochs=20, optim=Optim(kind="adam", lr=2e-3, schedule="one-cycle", clip=1.0)),),
        batch=16,
        title="restoring photos of one's own",
        source="ours",
    ),
}
