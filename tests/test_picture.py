"""The pictures are PNGs that our own decoder reads, with the right pixels and colours at the right places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from neocog.errors import UsageError
from neocog.pictures.decode import decode
from neocog.show import charts, false_colours, grids

BLUE, RED, GREY = (0, 0, 255), (255, 0, 0), (128, 128, 128)
HOSTILE = [
    "",
    "$x^2$",
    "a\\$b$",
    "日本語",
    "\x1b[31mred",
    "line\nbreak",
    "‮rtl",
    "e\u0301",
    "x" * 500,
    "%s {0} <b>",
    "\ud800",
]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((pixels == colour).all(axis=2).sum())


def tinted(pixels: np.ndarray, channel: int) -> int:
    """How many pixels are clearly red (0) or blue (2); the edges of letters are only partly coloured."""
    return int((pixels[:, :, channel].astype(int) - pixels[:, :, 2 - channel] > 100).sum())


def tiles(sheet: np.ndarray, height: int, width: int, across: int, down: int) -> list[np.ndarray]:
    """The cells of an untitled grid, by its gaps of white."""
    gap = (sheet.shape[1] - across * width) // (across + 1)
    assert sheet.shape[1] == across * width + (across + 1) * gap
    return [
        sheet[gap + r * (height + gap) :][:height, gap + c * (width + gap) :][:, :width]
        for r in range(down)
        for c in range(across)
    ]


@pytest.mark.parametrize(("side", "factor"), [(28, 4), (32, 3), (8, 12), (96, 1), (200, 1)])
def test_grid_enlarges_by_a_whole_factor_and_keeps_every_pixel(side: int, factor: int) -> None:
    pictures = [noise(3, side, side, seed=s) for s in range(6)]
    sheet = decode(grids.grid(pictures, columns=3))
    found = tiles(sheet, side * factor, side * factor, 3, 2)
    for original, tile in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(
            tile, np.kron(original.transpose(1, 2, 0), np.ones((factor, factor, 1), np.uint8))
        )


def test_grid_takes_every_layout() -> None:
    grey = noise(28, 28)
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    sheets = {
        grids.grid([p]) for p in (grey, grey[None], colour, colour.transpose(2, 0, 1), grey[:, :, None])
    }
    assert len(sheets) == 1


def test_grid_of_few_many_large_and_uneven_pictures() -> None:
    assert decode(grids.grid([noise(1, 1)])).shape[0] >= 96
    many = decode(grids.grid([noise(28, 28)] * 300))
    assert many.shape[1] <= 1800
    large = decode(grids.grid([noise(900, 1200, 3)] * 2, titles=["a", "b"]))
    assert large.shape[1] < 700
    uneven = decode(grids.grid([noise(10, 60), noise(60, 10)]))
    assert uneven.shape[0] < uneven.shape[1]
    default = decode(grids.grid([np.zeros((28, 28), np.uint8)] * 32))
    assert len(tiles(default, 112, 112, 8, 4)) == 32
    assert default.shape[0] == 4 * 112 + 5 * 6


def test_grid_titles_have_their_colours_and_places() -> None:
    black = np.zeros((28, 28), np.uint8)
    sheet = decode(grids.grid([black] * 2, titles=["right", "wrong"], colours=["blue", "red"], columns=2))
    left, right = np.split(sheet[:, : sheet.shape[1] // 2 * 2], 2, axis=1)
    assert tinted(left, 2) > 30
    assert tinted(left, 0) == 0
    assert tinted(right, 0) > 30
    assert tinted(right, 2) == 0
    assert tinted(sheet[:21], 2) == tinted(sheet, 2)
    plain = decode(grids.grid([black], titles=["x"]))
    with_caption = decode(grids.grid([black], titles=["x"], caption="said below " * 5))
    np.testing.assert_array_equal(with_caption[: plain.shape[0]], plain)
    assert with_caption.shape[0] > plain.shape[0] + 15


def test_long_titles_are_shortened_not_overlapping() -> None:
    black = np.full((28, 28), 255, np.uint8)
    sheet = decode(grids.grid([black] * 2, titles=["W" * 300, ""], columns=2))
    assert sheet.shape[1] < 400
    second = sheet[:, sheet.shape[1] // 2 :]
    assert (second == 255).all()


@pytest.mark.filterwarnings("error")
def test_hostile_names_everywhere() -> None:
    n = len(HOSTILE)
    share = np.full(n, 1 / n)
    sheets = [
        grids.grid([noise(8, 8)] * n, titles=HOSTILE, caption=" ".join(HOSTILE)),
        charts.curves(
            {name: [(0, 1), (1, 2)] for name in HOSTILE}, title=HOSTILE[1], x_label=HOSTILE[3], y_label="\0"
        ),
        charts.answer(noise(8, 8), share, HOSTILE, truth=8),
        charts.confusion(np.eye(n, dtype=int), HOSTILE),
    ]
    for png in sheets:
        assert decode(png).size > 1000


def bars(values: Sequence[float], names: Sequence[str], *, truth: int | None) -> np.ndarray:
    """The right part of an answer's chart, where its bars are."""
    pixels = decode(charts.answer(noise(8, 8), values, names, truth=truth))
    return pixels[:, int(0.45 * pixels.shape[1]) :]


def test_bars_are_grey_blue_and_red_and_as_long_as_the_probability() -> None:
    names, values = ["a", "b", "c", "d"], [0.1, 0.5, 0.25, 0.15]
    wrong, right, unknown = (bars(values, names, truth=truth) for truth in (2, 1, None))
    assert count(wrong, RED) == pytest.approx(2 * count(wrong, BLUE), rel=0.06)
    assert count(wrong, GREY) == pytest.approx(count(wrong, BLUE), rel=0.1)
    assert count(right, RED) == 0
    assert count(right, BLUE) == pytest.approx(count(wrong, RED), rel=0.05)
    assert count(unknown, RED) == count(unknown, BLUE) == 0
    assert count(unknown, GREY) > count(right, GREY)
    rows_of_red = np.flatnonzero((wrong == RED).all(axis=2).any(axis=1))
    rows_of_blue = np.flatnonzero((wrong == BLUE).all(axis=2).any(axis=1))
    assert rows_of_red.max() < rows_of_blue.min()  # in the order of the classes, from the top


@pytest.mark.parametrize("classes", [1, 2, 20, 21, 100, 1000])
def test_bars_of_any_number_of_classes(classes: int) -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(classes))
    least = int(values.argmin())
    pixels = bars(values, [f"class {i}" for i in range(classes)], truth=least)
    assert pixels.shape[0] < 900
    assert tinted(pixels, 2) > 10  # the true name is blue, however short its bar


def test_answer_is_blue_when_right_and_red_when_wrong() -> None:
    names, values = ["cat", "dog"], [0.3, 0.7]
    shown = np.full((28, 28), 255, np.uint8)

    def title(truth: int | None) -> np.ndarray:
        pixels = decode(charts.answer(shown, values, names, truth=truth))
        return pixels[: pixels.shape[0] // 4, : pixels.shape[1] // 3]

    assert count(title(1), BLUE) > 20
    assert count(title(1), RED) == 0
    assert count(title(0), RED) > 20
    assert count(title(0), BLUE) == 0
    assert count(title(None), BLUE) == count(title(None), RED) == 0
    assert (title(None) < 100).all(axis=2).any()


def test_answer_shows_the_picture() -> None:
    checks = np.kron(np.indices((4, 4)).sum(axis=0) % 2, np.ones((2, 2))).astype(np.uint8)
    green = np.stack([0 * checks, 255 * checks, 0 * checks])
    pixels = decode(charts.answer(green, [1.0], ["one"], truth=0))
    area = count(pixels, (0, 255, 0))
    assert area > 10_000
    assert area == pytest.approx(count(pixels[:, : pixels.shape[1] // 2], (0, 0, 0)), rel=0.1)


@pytest.mark.parametrize("classes", [1, 2, 10, 31, 100])
def test_confusion_is_dark_on_the_diagonal_with_truth_in_rows(classes: int) -> None:
    counts = np.zeros((classes, classes), int)
    counts[:, 0] = 7  # everything is taken for class 0
    pixels = decode(charts.confusion(counts, [f"name {i}" for i in range(classes)]))
    assert max(pixels.shape) < 1800
    dark = (pixels == (8, 48, 107)).all(axis=2)  # the last colour of Blues
    columns = np.flatnonzero(dark.sum(axis=0) > 0.3 * dark.sum(axis=0).max())
    inside = columns[columns < pixels.shape[1] * 0.85]
    rows = np.flatnonzero(dark[:, inside[0]])
    assert rows[-1] - rows[0] >= 0.9 * (inside[-1] - inside[0])
    if classes >= 10:
        assert inside[-1] - inside[0] < pixels.shape[1] / 8  # one column of cells, as tall as the matrix
        assert rows[-1] - rows[0] > pixels.shape[0] / 2


def test_curves_draw_every_series_and_survive_gaps() -> None:
    first, second = (31, 119, 180), (255, 127, 14)  # matplotlib's C0 and C1
    points = [(0.0, 0.5), (1.0, float("nan")), (2.0, 0.7), (3.0, float("inf")), (4.0, 0.9)]
    labels = {"title": "t", "x_label": "x", "y_label": "y"}
    both = decode(charts.curves({"a": points, "b": [(0, 1), (4, 0)]}, **labels))
    assert count(both, first) > 20
    assert count(both, second) > 300
    assert count(decode(charts.curves({"a": points}, **labels)), second) == 0
    for series in ({}, {"a": []}, {str(i): [(0, i), (1, 1)] for i in range(25)}):
        assert decode(charts.curves(series, **labels)).shape == both.shape


def test_training_curves_with_and_without_held_out() -> None:
    held_out = (255, 127, 14)
    epochs = [
        {"epoch": e, "loss": 2 / e, "accuracy": 1 - 1 / e, "val_loss": 2.1 / e, "val_accuracy": 0.9 - 0.8 / e}
        for e in range(1, 8)
    ]
    full = decode(charts.training_curves(epochs))
    middle = full.shape[1] // 2
    assert count(full[:, :middle], held_out) > 100
    assert count(full[:, middle:], held_out) > 100
    bare = [{"epoch": e["epoch"], "loss": e["loss"]} for e in epochs]
    assert count(decode(charts.training_curves(bare)), held_out) == 0
    gaps = [
        dict(e, val_loss=float("nan"), val_accuracy=float("inf")) if e["epoch"] == 4 else e for e in epochs
    ]
    assert 100 < count(decode(charts.training_curves(gaps)), held_out) < count(full, held_out)
    for few in ([], epochs[:1], [{"epoch": 1, "loss": float("inf"), "accuracy": float("nan")}]):
        assert decode(charts.training_curves(few)).shape == full.shape


def axes_of_curves(monkeypatch: pytest.MonkeyPatch, **series: Sequence[tuple[float, float]]) -> Any:
    figures: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr(charts, "_rendered", figures.append)
        charts.curves(series, title="t", x_label="epoch", y_label="y")
    return figures[0].axes[0]


@pytest.mark.parametrize("values", [(0.5, 1.0), (1.0, 1.0), (0.0, 0.02), (0.0, 0.0), (0.0, 1.0)])
def test_an_axis_of_shares_ends_where_shares_end(
    values: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = axes_of_curves(monkeypatch, a=list(enumerate(values)))
    low, high = axes.get_ylim()
    assert 0 <= low <= min(values)
    assert max(values) <= high <= 1
    assert low < high
    assert not axes.lines[0].get_clip_on(), "a point on the border is seen whole"
    low, high = axes_of_curves(monkeypatch, a=[(0, -0.1), (1, 1.1)]).get_ylim()
    assert low < -0.1
    assert high > 1.1


@pytest.mark.parametrize(("last", "from_zero"), [(0.00312, True), (-0.003, False)])
def test_a_loss_that_stands_still_is_seen_to(
    last: float, from_zero: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(charts, "_rendered", figures.append)
    charts.training_curves([{"epoch": n, "loss": loss} for n, loss in enumerate((0.00314, last), start=1)])
    low, high = figures[0].axes[0].get_ylim()
    assert bool(low == 0 and high > 0.0031) is from_zero
    charts.training_curves([{"epoch": n, "loss": loss} for n, loss in enumerate((2.0, 1.0), start=1)])
    assert figures[1].axes[0].get_ylim()[0] > 0.5


def test_lines_that_coincide_are_all_seen() -> None:
    """Four on one another, the last going on: of each colour something is left."""
    points = [(float(n), 0.9) for n in range(30)]
    labels = {"title": "t", "x_label": "x", "y_label": "y"}
    series = {"a": points, "b": points, "c": points[:20], "d": [*points[:10], (10.0, 0.2)]}
    together = decode(charts.curves(series, **labels))
    for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40)):
        assert count(together[: together.shape[0] // 6], colour) > 20, "not only in the legend, below"


def test_points_that_coincide_are_all_seen() -> None:
    labels = {"title": "t", "x_label": "x", "y_label": "y"}
    one = decode(charts.curves({name: [(1.0, 0.5)] for name in "ab"}, **labels))
    middle = one[:, : int(0.8 * one.shape[1])]  # without the legend
    assert min(count(middle, colour) for colour in ((31, 119, 180), (255, 127, 14))) >= 4


def test_epochs_are_counted_in_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = axes_of_curves(monkeypatch, a=[(1, 0.5), (2, 0.7)]).get_xticks()
    assert (ticks == ticks.round()).all()
    assert 0.5 in axes_of_curves(monkeypatch, a=[(0.25, 0.5), (1, 0.7)]).get_xticks().round(3)


@pytest.mark.parametrize("watched", ["held out", "test"])
def test_the_legend_says_what_is_watched(watched: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(charts, "_rendered", figures.append)
    epoch = {"epoch": 1, "loss": 1.0, "val_loss": 1.2, "accuracy": 0.5, "val_accuracy": 0.4}
    charts.training_curves([epoch | ({"watched": "test"} if watched == "test" else {})])
    for axes in figures[0].axes:
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", watched]


def test_the_three_likeliest_classes_of_a_spectrum_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """However near to one another they lie, each stands at a height of its own."""
    figures: list[Any] = []
    monkeypatch.setattr(charts, "_rendered", figures.append)
    values = np.full(1000, 1e-5)
    values[[820, 829, 825, 822]] = 0.9, 0.03, 0.02, 0.01
    charts.spectrum(values, [f"class {n}" for n in range(1000)])
    texts = figures[0].axes[0].texts
    assert [text.get_text().split()[0] for text in texts] == ["820", "829", "825"]
    heights = [text.xy[1] for text in texts]
    assert min(abs(a - b) for a in heights for b in heights if a is not b) >= 0.065


def test_heat_orders_values() -> None:
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    pixels = false_colours.heat(values)
    brightness = [int(cell.sum()) for cell in pixels.reshape(4, 3)]
    assert brightness == sorted(brightness)
    assert len(set(brightness)) == 4
    np.testing.assert_array_equal(false_colours.heat(values * 100 - 7), pixels)
    assert (false_colours.heat(np.ones((3, 3))) == false_colours.heat(np.zeros((3, 3)))).all()


def test_heat_over_a_picture_is_half_of_each() -> None:
    below = noise(3, 64, 80)
    pixels = false_colours.heat(np.zeros((7, 7)), over=below)
    dark = false_colours.heat(np.zeros((1, 1)))[0, 0].astype(int)
    np.testing.assert_array_equal(pixels, (below.transpose(1, 2, 0).astype(int) + dark) // 2)


def test_signs_have_colours_and_zero_is_white() -> None:
    below, zero, above = false_colours.signed(np.array([[-2.0, 0.0, 2.0]]))[0].astype(int)
    assert below[2] > below[0]
    assert above[0] > above[2]
    assert (zero > 240).all()
    np.testing.assert_array_equal(
        false_colours.around_grey(np.array([[[-4.0, 0.0, 4.0]]])), [[[0, 128, 255]]]
    )


def test_what_cannot_be_drawn_is_said() -> None:
    one = noise(8, 8)
    wrong = [
        lambda: grids.grid([]),
        lambda: grids.grid([one.astype(float)]),
        lambda: grids.grid([noise(8, 8, 5)]),
        lambda: grids.grid([one], titles=["a", "b"]),
        lambda: grids.grid([one], titles=["a"], colours=["nocolour"]),
        lambda: grids.grid([one], columns=-1),
        lambda: charts.answer(one, [0.5], ["a", "b"], truth=0),
        lambda: charts.answer(one, [0.5, 0.5], ["a", "b"], truth=2),
        lambda: charts.answer(one, [], [], truth=None),
        lambda: charts.confusion(np.eye(3), ["a", "b"]),
        lambda: false_colours.heat(np.array([[np.nan]])),
        lambda: false_colours.heat(np.zeros(3)),
    ]
    for draw in wrong:
        with pytest.raises(UsageError, match="; "):
            draw()
