"""M0 to M15: digits. D's and C's dense networks, LeNet, how much data, autoencoders."""

from __future__ import annotations

from collections.abc import Iterator

from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.restoring import M12, M14, M15
from neocog.figures.row import Row, seen
from neocog.figures.training import ABOUT, Training, trained
from neocog.files import write_bytes
from neocog.model import dataset_of, open_trained
from neocog.recipes.chapters import RECIPES
from neocog.show import grids
from neocog.show.words import percent
from neocog.studies.data_size import Plan, grow
from neocog.verbs.explain import explain
from neocog.verbs.predict import predict

DIGITS_INSIDE = ("data.name=digits", "preprocess.fit=pad", "epochs=2", "batch=32")
"""Makes seconds of a recipe of MNIST: the 8x8 digits that are inside the package."""


SIZES = (300, 600, 1800, 3000, 5900)
"""M11's numbers of training digits."""


def _stages(asked: Asked) -> Iterator[Row]:
    run = trained(RECIPES["lenet-mnist"], asked, name="lenet-mnist", seed=0)
    found = explain(run, split="test", index=[0], how="maps")
    found.save(asked.file("M13-maps.png"))
    yield seen("the maps of every stage", f"{len(found.answer.sheets)} sheets")
    for layer in ("conv1", "conv2"):
        kernels = explain(run, how="filters", layer=layer)
        kernels.save(asked.file(f"M13-{layer}.png"))
        yield seen(f"the kernels of {layer}", f"{kernels.answer.facts['filters'][0]} kernels")


def _growth(asked: Asked) -> Iterator[Row]:
    """M9 and M1 on samples of the digits; a curve of each, and what twice the digits should bring."""
    plan = Plan(
        models=("m9", "m1"), sizes=SIZES, seeds=max(len(asked.seeds), 1), runs=asked.runs / "data-size"
    )
    found = grow("mnist", plan, device=asked.device, watchers=asked.watchers)
    found.save(asked.file("M11-curves.png"))
    for curve in found.curves:
        for point in curve.points:
            yield seen(f"{curve.model} on {point.size:,} digits", percent(point.mean, point.interval))
        yield seen(f"what twice the digits bring {curve.model}", curve.sentence().partition(": ")[2])


def _mistakes(asked: Asked) -> Iterator[Row]:
    """The test digits that M9 names wrong."""
    run = trained(RECIPES["lenet-mnist"], asked, name="lenet-mnist", seed=0)
    items = predict(run, split="test").items
    wrong = [i for i, item in enumerate(items) if item.top[0].name != item.truth]
    titles = [f"{items[i].truth} ({items[i].top[0].name})" for i in wrong]
    digits = list(dataset_of(open_trained(run)).split("test").x[wrong].numpy())
    write_bytes(asked.file("M9-mistakes.png"), grids.grid(digits, titles=titles, caption="truth (answer)"))
    yield seen("test digits named wrong", f"{len(wrong)} of {len(items):,}")


ENTRIES = (
    Entry("M0", "dense 100 logistic units", "B", (Training(recipe="m0", outside=False),)),
    Entry("M1", "softmax regression", "A, D", (Training(recipe="m1"),)),
    Entry("M2", "dense 400 logistic units, pixels 0..255", "B", (Training(recipe="m2", remark=ABOUT),)),
    Entry("M3", "M2 with pixels 0..1", "B", (Training(recipe="m3", remark=ABOUT),)),
    Entry("M4", "M3 with Adadelta", "B", (Training(recipe="m4", remark=ABOUT),)),
    Entry("M5", "M4 with ReLU", "B", (Training(recipe="m5", remark=ABOUT),)),
    Entry("M6", "one convolution", "B", (Training(recipe="m6", remark=ABOUT),)),
    Entry("M7", "two convolutions", "B", (Training(recipe="m7", remark=ABOUT, short=DIGITS_INSIDE),)),
    Entry("M8", "two convolutions and dropout", "B", (Training(recipe="m8"),)),
    Entry(
        "M9",
        "LeNet as A writes it",
        "A",
        (
            Training(recipe="lenet-mnist", what="10 epochs"),
            Training(recipe="m9", what="20 epochs"),
            Check("its mistakes as a sheet", _mistakes, "trains LeNet on MNIST"),
        ),
    ),
    Entry(
        "M10",
        "C's convolutional network",
        "C",
        (
            Training(recipe="m10"),
            Training(
                recipe="m10",
                what="its dense rival",
                changes=("model.name=e7-dense",),
                published=0.9749,
                outside=True,
            ),
        ),
    ),
    Entry(
        "M11",
        "how much data",
        "A",
        (
            Training(
                recipe="m9",
                what="LeNet with 5,900 digits",
                changes=(f"data.limit={SIZES[-1]}",),
                published=0.9723,
            ),
            Training(
                recipe="m1",
                what="M1 with 5,900 digits",
                changes=(f"data.limit={SIZES[-1]}",),
                published=0.94,
                remark="of all 60,000 digits the same network reaches 90.71 % in the chapter, which does not "
                "say what else was changed for 94 %",
            ),
            Check("both curves", _growth, "needs MNIST's files and trains ten networks, some minutes"),
        ),
    ),
    M12,
    Entry(
        "M13",
        "every stage as pictures",
        "A",
        (Check("every stage as pictures", _stages, "trains LeNet on MNIST"),),
    ),
    M14,
    M15,
)
