"""C8: a trained network, saved as its layers and its weights apart, answers elsewhere as it did here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from neocog.data.sources.example_photos import photo
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.row import Row, claim, fact
from neocog.figures.training import there, trained
from neocog.model import dataset_of, open_trained
from neocog.recipes.chapters import RECIPES
from neocog.runs.run import Run
from neocog.show.words import percent
from neocog.verbs.predict import predict
from neocog.verbs.weights import weights

CAT, DOG = 3, 5
"""CIFAR-10's numbers of these classes."""
SAME = 1e-4
"""How far probabilities may be apart that are computed from the same weights in another order."""


def _network(asked: Asked) -> tuple[str, Run]:
    """C3's or C2's where it is there, else C1's, which takes minutes."""
    for name in ("c3", "c2"):
        run = there(RECIPES[name], asked, name)
        if run is not None:
            return name, run
    return "c1", trained(RECIPES["c1"], asked, name="c1", seed=RECIPES["c1"].seed)


def _elsewhere(asked: Asked) -> Iterator[Row]:
    name, run = _network(asked)
    network = open_trained(run)
    layers, numbers = asked.file("C8-network.json"), asked.file("C8-network.weights.h5")
    for path in (layers, numbers):
        path.unlink(missing_ok=True)
        weights(run).save(path)
    photos = [photo("cat"), _enlarged_dog(asked, run)]
    here = predict(run, photos, top=len(network.classes), device=asked.device)
    elsewhere = predict(layers, photos, weights=numbers, top=len(network.classes), device=asked.device)
    elsewhere.save(asked.file("C8-photos.png"))
    best = [item.top[0] for item in elsewhere.items]
    said = ", ".join(f"class {guess.index}" for guess in best)
    about = ", ".join(f"{guess.name} {percent(guess.probability, digits=0)}" for guess in best)
    yield fact(
        "a cat and a dog, photos of any size",
        f"class {CAT}, class {DOG}",
        said,
        remark=f"{name.upper()}'s network: {about}; the cat is the package's photo, the dog the first test "
        "picture of one that the network names right, enlarged",
    )
    apart = max(
        abs({g.index: g.probability for g in a.top}[g.index] - g.probability)
        for a, b in zip(here.items, elsewhere.items, strict=True)
        for g in b.top
    )
    yield claim("it answers there as here", f"probabilities apart by {apart:.0e} at most", apart <= SAME)


def _enlarged_dog(asked: Asked, run: Run) -> Path:
    """A PNG file of 480x360 pixels: the first dog of the test set that the network names right, else the
    first.
    """
    split = dataset_of(open_trained(run)).split("test")
    dogs = (split.y == DOG).nonzero().flatten().tolist()[:50]
    named = predict(run, split="test", index=dogs, device=asked.device).items
    chosen = next((i for i, one in zip(dogs, named, strict=True) if one.top[0].index == DOG), dogs[0])
    place = asked.file("C8-dog.png")
    pixels = np.ascontiguousarray(split.x[chosen].permute(1, 2, 0).numpy())
    Image.fromarray(pixels).resize((480, 360), Image.Resampling.BICUBIC).save(place)
    return place


C8 = Entry(
    "C8",
    "a trained model elsewhere",
    "A",
    (
        Check(
            "a cat and a dog, photos of any size",
            _elsewhere,
            "needs CIFAR-10's files and a network of C1 to C3, some minutes",
            light=False,
        ),
    ),
)
