"""P1 to P3, T1, T2 and N1: pretrained networks at work, with public weights that are here or are given."""

from __future__ import annotations

from collections.abc import Iterator

from neocog.arithmetic import written
from neocog.data.sources.example_photos import photo
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.lending import T1, T2
from neocog.figures.row import Row, fact, seen
from neocog.figures.sizes import counted
from neocog.show.words import percent
from neocog.verbs.features import features
from neocog.verbs.predict import predict
from neocog.verbs.stylize import stylize

EYES = "efficientnet_lite1"
"""The network whose weights pip brings, which stands in where those of the chapter are missing."""
STAGE = "stage6"
"""Of `EYES`: a sixteenth of the picture's side is left, as after VGG16's block4_pool."""
EGYPTIAN_CAT = 285


def _named(asked: Asked) -> Iterator[Row]:
    """The package's cat; it is no ImageNet photo, and whether it is the chapter's class is what is asked."""
    network, weights = ("vgg16", asked.weights) if asked.weights is not None else (EYES, None)
    found = predict(network, [photo("cat")], weights=weights, top=5, device=asked.device)
    found.spectrum(asked.file("P1-probabilities.png"))
    best = found.items[0].top[0]
    said = f"{best.index} {best.name} at {percent(best.probability, digits=0)}, by {network}"
    words = "the class of the package's cat photo"
    if best.index == EGYPTIAN_CAT:
        yield fact(f"{words}, by {network}", EGYPTIAN_CAT, best.index)
    else:
        yield seen(words, said, remark="the chapter's photo is another: class 285, Egyptian cat")


def _spectrum(asked: Asked) -> Iterator[Row]:
    network, weights = ("vgg16", asked.weights) if asked.weights is not None else (EYES, None)
    found = predict(network, [photo("coffee")], weights=weights, top=5, device=asked.device)
    found.spectrum(asked.file("P2-probabilities.png"))
    best = found.items[0].top[0]
    yield seen(
        "all 1,000 probabilities of the package's coffee",
        f"{best.name} at {percent(best.probability, digits=0)}, by {network}",
    )


def _layers(asked: Asked) -> Iterator[Row]:
    found = counted("vgg16")
    yield fact(
        "layers with index, name and output", len(found.layers), len({row.name for row in found.layers})
    )
    pool = next(row for row in found.layers if row.name.endswith("pool4"))
    yield fact("block4_pool of VGG16", "14x14x512", written(pool.output))


def _taken(asked: Asked) -> Iterator[Row]:
    network, layer = ("vgg16", "block4_pool") if asked.weights is not None else (EYES, STAGE)
    found = features(network, [photo("cat")], layer=layer, weights=asked.weights, device=asked.device)
    shape = written(found.values.shape[1:])
    if asked.weights is not None:
        yield fact("block4_pool of a photo", "14x14x512", shape)
    else:
        yield seen(
            "a layer's output as features", f"{shape} of the package's cat, after {layer} of {network}"
        )


def _painted(asked: Asked) -> Iterator[Row]:
    """On a small picture: that the style comes over is for eyes, that the losses fall is counted."""
    out = asked.file("N1.png")
    out.unlink(missing_ok=True)
    painted = stylize(
        photo("cat"),
        [photo("coffee")],
        out=out,
        weights=asked.weights,
        eyes=None if asked.weights is None else "vgg19",
        changes=["size=128", "steps=40"],
        device=asked.device,
    )
    yield seen("a photo in the manner of another", painted.text().splitlines()[0].partition(": ")[2])


ENTRIES = (
    Entry(
        "P1",
        "name a photo with VGG16",
        "A",
        (Check("the class of a cat photo", _named, "needs public weights"),),
    ),
    Entry(
        "P2",
        "all 1,000 probabilities",
        "A",
        (Check("a plot of probabilities", _spectrum, "needs public weights"),),
    ),
    Entry(
        "P3",
        "list the layers, take one's output",
        "A",
        (
            Check("the layers of VGG16", _layers),
            Check("a layer's output as features", _taken, "needs public weights"),
        ),
    ),
    T1,
    T2,
    Entry(
        "N1", "style transfer", "A", (Check("a painting", _painted, "needs VGG's or other public weights"),)
    ),
)
