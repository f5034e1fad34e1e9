"""F1 to F9: filters and pooling, by the verbs `filter` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from neocog.data.sources.example_photos import photo
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.row import Row, fact, seen
from neocog.figures.training import trained
from neocog.inside.filters import Pool, Pooling, Sliding, pixels
from neocog.inside.kernels import Kernel, Numbers
from neocog.recipes.chapters import RECIPES
from neocog.verbs.explain import explain
from neocog.verbs.filter import filter_

DIGIT = "mnist:3"
"""The training picture that the chapter takes."""
MNIST_NEEDED = "needs MNIST's files"
PICTURE = "1 1 1 0 0; 0 1 1 1 0; 0 0 1 1 1; 0 0 1 1 0; 0 1 1 0 0"
CROSS = "1 0 1; 0 1 0; 1 0 1"
VALID = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
SAME = [[2, 2, 3, 1, 1], [1, 4, 3, 4, 1], [1, 2, 4, 3, 3], [1, 2, 3, 4, 1], [0, 2, 2, 1, 1]]
MAP = "1 3 0 2; 5 7 4 2; 0 0 3 4; 6 8 0 0"
POOLED: Mapping[Pooling, list[list[float]]] = {
    "max": [[7, 4], [8, 4]],
    "average": [[4, 2], [3.5, 1.75]],
    "l2": [[84**0.5, 24**0.5], [10, 5]],
}
STROKES = {"line-135": "\\", "line-0": "horizontal", "line-90": "vertical", "line-30": "30 degrees"}


def _slid(image: str | Numbers, window: str | Kernel | Pool, *, how: Sliding | None = None) -> Numbers:
    return filter_(image, windows=[window], sliding=how).outputs[0].values


def _digit(kernel: str) -> Check:
    def work(asked: Asked) -> Iterator[Row]:
        found = filter_(DIGIT, windows=[kernel])
        found.save(asked.file(f"{kernel}.png"))
        cut = pixels(found.outputs[0].values, levels="clip", top=255).astype(np.float64)
        yield fact(f"{kernel} of a 28x28 digit", "26x26", _size(cut))
        yield fact("its values after clipping", "within 0..255", _within(cut, 0, 255))

    return Check(f"{kernel} of a digit", work, MNIST_NEEDED)


def _worked(asked: Asked) -> Iterator[Row]:
    yield fact("the cross-correlation, valid", VALID, _slid(PICTURE, CROSS)[0].astype(int).tolist())
    same = _slid(PICTURE, CROSS, how=Sliding(padding="same"))[0].astype(int).tolist()
    yield fact("with padding 'same'", SAME, same)


def _random(asked: Asked) -> Iterator[Row]:
    found = filter_(photo("astronaut"), windows=["random"], then="sigmoid")
    found.save(asked.file("random.png"))
    made = found.outputs[0]
    yield fact("four random filters on 512x512", "4 x 510x510", f"{len(made.values)} x {_size(made.values)}")
    assert made.weights is not None
    yield fact("their weights", "within -0.2..0.2", _within(made.weights, -0.2, 0.2))
    yield fact("what a logistic function makes of it", "within 0..1", _within(made.values, 0, 1))


def _pooling(asked: Asked) -> Iterator[Row]:
    for kind, expected in POOLED.items():
        made = _slid(MAP, Pool(kind))[0]
        yield fact(f"{kind} pooling of a 4x4 map", _rounded(expected), _rounded(made))
    overlapping = _slid(np.arange(49.0).reshape(1, 7, 7), Pool("max", 3), how=Sliding(stride=2))
    yield fact("3x3 windows at stride 2 on 7x7", "3x3", _size(overlapping))
    spike = np.zeros((1, 4, 4))
    spike[0, 0, 0] = 9
    unchanged = np.array_equal(_slid(spike, Pool("max")), _slid(np.roll(spike, 1, axis=2), Pool("max")))
    yield fact("the map after a shift by a pixel", "the same", "the same" if unchanged else "another")


def _learned(asked: Asked) -> Iterator[Row]:
    run = trained(RECIPES["g2"], asked, name="g2", seed=RECIPES["g2"].seed)
    found = explain(run, [photo("astronaut")], how="filters")
    found.save(asked.file("learned.png"))
    filters = found.answer.facts["filters"][0]
    yield fact("pictures, one for each learned filter of g2", filters, len(found.answer.sheets[1].panels) - 1)


def _roles(asked: Asked) -> Iterator[Row]:
    run = trained(RECIPES["g2"], asked, name="g2", seed=RECIPES["g2"].seed)
    found = explain(run, how="roles")
    found.save(asked.file("roles.png"))
    channels = found.answer.facts["channels"]
    yield fact("learned kernels in the table", 8, len(channels))
    yield fact("classes to which each responds or not", 5, len(channels[0]["responds"]))
    for channel in channels:
        yield seen(f"kernel {channel['channel']}", f"{_bits(channel['responds'])} {channel['name']}")


def _dimensions(asked: Asked) -> Iterator[Row]:
    nodes = np.array([[1.0, 2, 3, 4, 5]])
    found = _slid(nodes, "1 0 -1")
    yield fact("5 nodes under 3 weights", "3", _size(found))
    yield fact("their values", [-2, -2, -2], found[0].astype(int).tolist())
    yield fact("pooled in twos", [2, 4], _slid(nodes, Pool("max"))[0].astype(int).tolist())
    volume = np.arange(64.0).reshape(1, 4, 4, 4)
    cube = _slid(volume, Kernel("sum", np.ones((3, 3, 3))))
    yield fact("a 4x4x4 volume under 3x3x3 weights", "2x2x2", _size(cube))
    yield fact("its first value", 27 * 21, int(cube[0, 0, 0, 0]))
    yield fact(
        "the volume pooled in twos", [21, 63], [int(v) for v in _slid(volume, Pool("max")).ravel()[[0, -1]]]
    )


def _finds(asked: Asked) -> Iterator[Row]:
    stroke = np.zeros((1, 5, 5))
    stroke[0, [0, 1, 2], [0, 1, 2]] = 1
    made = _slid(stroke, "line-135")[0]
    yield fact("a '\\' detector where the stroke is", 3, int(made[0, 0]))
    yield fact("where it is not", 0, int(made[0, 2]))
    yield fact("its highest place", [0, 0], [int(n) for n in np.unravel_index(made.argmax(), made.shape)])
    for name, words in STROKES.items():
        own = filter_(np.zeros((1, 9, 9)), windows=[name]).outputs[0].weights
        assert own is not None
        shape = np.pad(own.reshape(own.shape[-2:]), 2)[None]
        yield fact(f"{words}: its answer to its own shape", int(own.sum()), int(_slid(shape, name).max()))


def _size(values: Numbers) -> str:
    return "x".join(map(str, values.shape[1:]))


def _within(values: Numbers, low: float, high: float) -> str:
    inside = values.min() >= low and values.max() <= high
    return f"within {low:g}..{high:g}" if inside else f"{values.min():g}..{values.max():g}"


def _rounded(rows: Sequence[Sequence[float]] | Numbers) -> str:
    return "; ".join(" ".join(f"{value:.6g}" for value in row) for row in rows)


def _bits(responds: Sequence[int]) -> str:
    return " ".join(map(str, responds))


ENTRIES = (
    Entry("F1", "blur a picture", "B", (_digit("blur"),)),
    Entry("F2", "find edges", "B", (_digit("edges"),)),
    Entry("F3", "the worked example", "E", (Check("the worked example", _worked),)),
    Entry("F4", "random filters on a photo", "B", (Check("random filters", _random),)),
    Entry("F5", "pooling", "A, B", (Check("pooling", _pooling),)),
    Entry(
        "F6",
        "learned filters on a photo",
        "C",
        (Check("learned filters", _learned, "trains g2, some minutes"),),
    ),
    Entry(
        "F7",
        "what each filter is for",
        "C",
        (Check("the table of roles", _roles, "trains g2, some minutes"),),
    ),
    Entry("F8", "one, two and three dimensions", "C", (Check("dimensions", _dimensions),)),
    Entry("F9", "a filter finds a shape", "B", (Check("a filter finds a shape", _finds),)),
)
