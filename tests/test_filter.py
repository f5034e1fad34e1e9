"""Classical filters against the books' numbers, SciPy and PyTorch; what is printed, written and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage, signal

from neocog.cli import run as command
from neocog.errors import NeocogError, UnreadableError, UsageError
from neocog.inside import signals
from neocog.inside.filters import BORDERS, Pool, Sliding, pixels, sigmoid, slide, spot
from neocog.inside.kernels import KERNELS, Kernel, kernel, line, numbers, random_filters
from neocog.show import charts, grids
from neocog.verbs.filter import Filtered, filter_
from neocog.zoo.borders import L2Pool

Capture = pytest.CaptureFixture[str]
I = "1 1 1 0 0; 0 1 1 1 0; 0 0 1 1 1; 0 0 1 1 0; 0 1 1 0 0"
K = "1 0 1; 0 1 0; 1 0 1"
VALID = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
SAME = [[2, 2, 3, 1, 1], [1, 4, 3, 4, 1], [1, 2, 4, 3, 3], [1, 2, 3, 4, 1], [0, 2, 2, 1, 1]]
SCIPY = {"zero": "constant", "constant": "constant", "reflect": "mirror", "nearest": "nearest"}


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def plane(text: str) -> Kernel:
    return kernel(text, channels=1, axes=2)


# --- numbers of the books ----------------------------------------------------------------------------------


def test_the_worked_example() -> None:
    """F3, exactly."""
    assert slide(numbers(I), plane(K)).tolist() == [VALID]
    assert slide(numbers(I), plane(K), Sliding(padding="same")).tolist() == [SAME]
    assert slide(numbers(I), plane(K), Sliding(padding=1)).tolist() == [SAME]


def test_the_worked_example_as_a_command(capsys: Capture) -> None:
    assert command(["filter", I, "--kernel", K, "--padding", "same", "--at", "1,1"]) == 0
    out = capsys.readouterr().out
    assert "  1 4 3 4 1\n" in out
    assert "at 1,1:\n  1*1 + 1*0 + 1*1 + 0*0 + 1*1 + 1*0 + 0*1 + 0*0 + 1*1 = 4" in out
    assert command(["filter", I, "--kernel", K, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"][0]["values"] == [VALID]


def test_one_by_one_mixes_channels() -> None:
    """S5: 3x3x3 with [1, 2, -1] changes the depth only; its values by hand."""
    x = np.arange(27.0).reshape(3, 3, 3)
    made = slide(x, kernel("1 | 2 | -1", channels=3, axes=2))
    assert made.tolist() == (x[:1] + 2 * x[1:2] - x[2:]).tolist()
    assert made.shape == (1, 3, 3)


def test_blur_and_edges_of_a_digit() -> None:
    """F1 and F2: 28x28 gives 26x26, cut to 0..255."""
    x = np.random.default_rng(3).integers(0, 256, (1, 28, 28)).astype(float)
    mean, edges = slide(x, plane("blur")), slide(x, plane("edges"))
    assert mean.shape == edges.shape == (1, 26, 26)
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3))
    np.testing.assert_allclose(mean[0], windows.mean((2, 3)))
    assert np.array_equal(edges[0], windows.sum((2, 3)) - 9 * windows[:, :, 1, 1])
    assert pixels(edges, levels="clip", top=255).min() == 0
    assert edges.min() < 0
    assert edges.max() > 255


def test_pooling_by_hand() -> None:
    """F5 on a 4x4 map, and the shift of a pixel that changes nothing."""
    x = np.array([[[1, 3, 0, 2], [5, 7, 4, 2], [0, 0, 3, 4], [6, 8, 0, 0]]], dtype=float)
    assert slide(x, Pool("max")).tolist() == [[[7, 4], [8, 4]]]
    assert slide(x, Pool("average")).tolist() == [[[4, 2], [3.5, 1.75]]]
    assert slide(x, Pool("l2"))[0, 1].tolist() == [10, 5]
    assert slide(drawn(1, 7, 7), Pool("max", 3), Sliding(stride=2)).shape == (1, 3, 3)
    spike = np.zeros((1, 4, 4))
    spike[0, 0, 0] = 9
    moved = np.roll(spike, 1, axis=2)
    assert np.array_equal(slide(spike, Pool("max")), slide(moved, Pool("max")))
    assert not np.array_equal(slide(spike, Pool("max")), slide(np.roll(spike, 2, axis=2), Pool("max")))


def test_a_detector_finds_its_shape() -> None:
    """F9: highest where the diagonal stroke is, zero where nothing is."""
    x = np.zeros((1, 5, 5))
    for n in range(3):
        x[0, n, n] = 1
    made = slide(x, plane("line-135"))[0]
    assert made.tolist() == [[3, 0, 0], [0, 2, 0], [0, 0, 1]]
    assert slide(np.zeros((1, 5, 5)), plane("line-135")).max() == 0


@pytest.mark.parametrize("angle", [0, 30, 45, 60, 90, 120, 135, 150])
def test_each_line_is_found_by_its_own_detector(angle: int) -> None:
    own = np.pad(line(angle), 2)[None]
    answers = {a: slide(own, Kernel("", line(a))).max() / line(a).sum() for a in (0, 30, 60, 90, 120, 150)}
    assert slide(own, Kernel("", line(angle))).max() == line(angle).sum()
    if angle in answers:
        assert max(answers, key=lambda a: answers[a]) == angle
        assert sorted(answers.values())[-2] < 1
    rows, columns = np.nonzero(line(angle))
    middle = line(angle).shape[0] // 2
    for row, column in zip(middle - rows, columns - middle):
        off = abs(row * np.cos(np.radians(angle)) - column * np.sin(np.radians(angle)))
        assert off <= 0.5


def test_horizontal_vertical_and_angle() -> None:
    assert line(0).tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert line(90).tolist() == line(0).T.tolist()
    assert line(135).tolist() == np.eye(3).tolist()
    corner = np.zeros((1, 7, 7))
    corner[0, 1:4, 2] = corner[0, 3, 2:5] = 1
    made = slide(corner, plane("right-angle"))[0]
    assert np.unravel_index(made.argmax(), made.shape) == (1, 2)
    assert made.max() == 5


def test_random_filters_on_a_photo() -> None:
    """F4: four of 3x3 over RGB, in [-0.2, 0.2], a sigmoid; 512x512 gives four 510x510."""
    photo = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    found = filter_(photo, windows=["random"], then="sigmoid", seed=5)
    (output,) = found.outputs
    assert output.values.shape == (4, 510, 510)
    assert output.weights is not None
    assert output.weights.shape == (4, 3, 3, 3)
    assert -0.2 <= output.weights.min() < -0.15 < 0.15 < output.weights.max() <= 0.2
    x, w = torch.from_numpy(photo / 255.0)[None], torch.from_numpy(output.weights)
    np.testing.assert_allclose(output.values, torch.sigmoid(F.conv2d(x, w))[0].numpy(), atol=1e-12)
    again = random_filters(4, channels=3, axes=2, seed=5).weights
    assert np.array_equal(again, output.weights)
    assert not np.array_equal(again, random_filters(4, channels=3, axes=2, seed=6).weights)


# --- against SciPy and PyTorch -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_against_scipy(name: str) -> None:
    x = drawn(3, 9, 11)
    made = slide(x, plane(name))
    for got, channel in zip(made, x):
        np.testing.assert_allclose(
            got, signal.correlate2d(channel, np.array(KERNELS[name]), "valid"), atol=1e-12
        )


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", ["edges", "sobel-x", "emboss"])
def test_borders_against_scipy(border: Any, name: str) -> None:
    x = drawn(1, 6, 8)
    value = 2.5 if border == "constant" else 0.0
    made = slide(x, plane(name), Sliding(padding="same", border=border, value=value))[0]
    want = ndimage.correlate(x[0], np.array(KERNELS[name], float), mode=SCIPY[border], cval=value)
    np.testing.assert_allclose(made, want, atol=1e-12)


def test_named_kernels_against_scipys_own() -> None:
    x = drawn(1, 8, 8)
    for name, axis in (("sobel-x", 1), ("sobel-y", 0)):
        made = slide(x, plane(name), Sliding(padding="same", border="nearest"))[0]
        np.testing.assert_allclose(made, ndimage.sobel(x[0], axis=axis, mode="nearest"), atol=1e-12)
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    np.testing.assert_array_equal(plane("gaussian").weights, binomial)
    assert np.array_equal(slide(x, plane("identity")), x[:, 1:-1, 1:-1])


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 2])
def test_one_two_and_three_dimensions_against_torch(axes: int, stride: int, padding: int) -> None:
    """F8: banks over all channels, and poolings, in every number of axes."""
    x, w = drawn(2, *(7, 6, 8)[:axes]), drawn(3, 2, *(3, 2, 4)[:axes], seed=1)
    how = Sliding(stride=stride, padding=padding)
    conv = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    want = conv(torch.from_numpy(x)[None], torch.from_numpy(w), stride=stride, padding=padding)[0]
    np.testing.assert_allclose(slide(x, Kernel("w", w), how), want.numpy(), atol=1e-12)
    best = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
    pools = Sliding(stride=stride, padding=padding // 2)
    want = best(torch.from_numpy(x)[None], 3, stride, padding // 2)[0]
    np.testing.assert_array_equal(slide(x, Pool("max", 3), pools), want.numpy())
    bare = Sliding(stride=stride)
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    want = mean(torch.from_numpy(x)[None], 3, stride)[0]
    np.testing.assert_allclose(slide(x, Pool("average", 3), bare), want.numpy(), atol=1e-12)
    want = L2Pool((3,) * axes, (stride,) * axes)(torch.from_numpy(x)[None])[0]
    np.testing.assert_allclose(slide(x, Pool("l2", 3), bare), want.numpy(), atol=1e-6)


def test_padded_average_leaves_padding_out() -> None:
    x = drawn(1, 5, 5)
    made = slide(x, Pool("average", 3), Sliding(stride=2, padding=1))
    want = F.avg_pool2d(torch.from_numpy(x)[None], 3, 2, 1, count_include_pad=False)[0]
    np.testing.assert_allclose(made, want.numpy(), atol=1e-12)


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_gives_the_size_rounded_up(n: int, k: int, stride: int) -> None:
    made = slide(drawn(1, n), Kernel("w", np.ones(k)), Sliding(stride=stride, padding="same"))
    assert made.shape == (1, -(-n // stride))


def test_five_nodes_and_three_weights_give_three() -> None:
    """F8's first sentence."""
    assert filter_("1 2 3 4 5", windows=["1 0 -1"]).outputs[0].values.tolist() == [[[-2, -2, -2]]]


def test_sound_letters_and_video() -> None:
    low = filter_("sound", windows=["1/4 1/4 1/4 1/4"]).outputs[0].values
    assert low.shape == (1, 797)
    assert np.abs(low[0, :150]).max() == 0
    assert np.abs(low[0, 200:450]).max() > 1.5 * np.abs(low[0, 500:]).max()  # a mean keeps the lower tone
    text = "The cat sat on the mat; then it slept"
    (found,) = filter_(f"text:{text}", windows=["letters:the"]).outputs
    places = np.flatnonzero(found.values[0] == 3).tolist()
    assert places == [n for n in range(len(text)) if text.lower()[n : n + 3] == "the"] == [0, 15, 24]
    (moved,) = filter_("video", windows=["-1 | 1"]).outputs
    assert moved.values.shape == (1, 7, 12, 12)
    assert np.abs(moved.values[0, :3]).max() == 0  # it stands still
    assert [int(np.abs(f).sum()) for f in moved.values[0, 3:]] == [
        6,
        6,
        6,
        6,
    ]  # both edges, three pixels each
    assert signals.letters("Ab!")[:2].tolist() == [[1, 0, 0], [0, 1, 0]]


# --- one place ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(3, 3), (2, 3, 3), (4, 2, 3, 3)], ids=str)
def test_a_place_is_what_comes_out_there(weights: tuple[int, ...]) -> None:
    x, w, how = drawn(2, 6, 7), Kernel("w", drawn(*weights, seed=2)), Sliding(stride=2, padding=1)
    made = slide(x, w, how)
    for at in np.ndindex(*made.shape[1:]):
        found = spot(x, w, at, how)
        np.testing.assert_allclose(found.results, made[(slice(None), *at)], atol=1e-12)
        assert found.products is not None
        axes = tuple(range(1, found.products.ndim))
        np.testing.assert_allclose(found.products.sum(axes), found.results, atol=1e-12)


def test_a_place_of_pooling() -> None:
    x = drawn(2, 6, 6)
    for kind in ("max", "average", "l2"):
        pool = Pool(kind, 3)  # type: ignore[arg-type]
        found = spot(x, pool, (1, 0))
        np.testing.assert_allclose(found.results, slide(x, pool)[:, 1, 0])
        assert found.window.shape == (2, 3, 3)


# --- what goes in and comes out ----------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return path


def opened(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_grey_and_rgb(photo: Path) -> None:
    x = opened(photo).transpose(2, 0, 1).astype(float)
    assert filter_(photo, windows=["blur"]).outputs[0].values.shape == (3, 18, 28)
    grey = filter_(photo, windows=["identity"], colour="grey").outputs[0].values
    np.testing.assert_allclose(grey[0], (0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2])[1:-1, 1:-1])
    assert filter_("1 2; 3 4", windows=["1"], colour="rgb").outputs[0].values.shape == (3, 2, 2)


def test_pictures_are_written(photo: Path, tmp_path: Path) -> None:
    found = filter_(photo, windows=["identity", "edges", Pool("max")])
    found.save(tmp_path / "out.png")
    original = opened(photo)
    assert np.array_equal(opened(tmp_path / "out-1.png"), original[1:-1, 1:-1])
    assert opened(tmp_path / "out-3.png").shape == (10, 15, 3)
    assert opened(tmp_path / "out.png").shape[1] > 3 * 30
    found.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert np.array_equal(arrays["output2"], found.outputs[1].values)
    with pytest.raises(UsageError, match="not as"):
        found.save(tmp_path / "out.gif")
    assert "data:image/png" in found._repr_html_()


@pytest.mark.parametrize("what", ["sound", "video", "text:abc abc"])
def test_signals_are_drawn(what: str, tmp_path: Path) -> None:
    window = {"sound": "1 -1", "video": "-1 | 1"}.get(what, "letters:abc")
    filter_(what, windows=[window]).save(tmp_path / "out.png")
    assert opened(tmp_path / "out.png").shape[1] > 100


def test_what_is_drawn_of_signals_and_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooled signal lies over the places that it came from; letters are rows; a volume has a row each."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(charts, "curves", lambda series, **more: seen.update(series) or b"")
    filter_("sound", windows=[Pool("max", 4)]).png()
    assert [x for x, _ in seen["max pooling, 4"]][:2] == [1.5, 5.5]
    assert seen["given: sound"][-1][0] == 799
    monkeypatch.setattr(grids, "grid", lambda pictures, **more: seen.update(more, pictures=pictures) or b"")
    filter_("text:abc abc", windows=["letters:abc"]).png()
    assert [picture.shape for picture in seen["pictures"]] == [(27 * 4, 7 * 91), (32, 5 * 128)]
    assert seen["pictures"][1][0, ::128].tolist() == [255, 0, 0, 0, 255]
    filter_("video", windows=["-1 | 1"]).png()
    assert seen["columns"] == 8
    assert len(seen["pictures"]) == 16
    assert seen["titles"][8] == "-1 | 1 [0]"
    assert (seen["pictures"][15] == 255).all()


def test_long_signals_are_printed_in_lines() -> None:
    words = filter_("sound", windows=[Pool("max", 4)]).text().splitlines()
    assert len(words[3].split()) == 20
    assert max(map(len, words)) < 240


def test_clip_and_scale() -> None:
    x = np.array([[[-10.0, 0.0, 51.0, 300.0]]])
    assert pixels(x, levels="clip", top=255).tolist() == [[[0, 0, 51, 255]]]
    assert pixels(x, levels="scale", top=255).tolist() == [[[0, 8, 50, 255]]]
    assert pixels(x[:, :, :1], levels="scale", top=255).tolist() == [[[0]]]
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0, 0.5, 1]


def test_a_kernel_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("1 0 1\n0 1 0\n1 0 1\n")
    assert filter_(I, windows=[str(path)]).outputs[0].values.tolist() == [VALID]


def test_a_training_picture_by_number() -> None:
    found = filter_("digits:3", windows=["blur"])
    assert found.outputs[0].values.shape == (1, 6, 6)
    assert found.top == 255
    with pytest.raises(UsageError, match="0 to 1437"):
        filter_("digits:1438", windows=["blur"])


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["nothing.png", "--kernel", "blur"], 3, "nothing.png"),
        ([I], 2, "--kernel blur"),
        ([I, "--kernel", "blurr"], 2, "did you mean 'blur'?"),
        ([I, "--kernel", "1 2; 3"], 2, "different sizes"),
        ([I, "--kernel", "1 x"], 2, "'x' in the kernel is no number"),
        ([I, "--kernel", "1/0"], 2, "'1/0' in the kernel is no number"),
        ([I, "--kernel", "1e300"], 2, "too large"),
        ([I, "--kernel", "1 nan"], 2, "too large"),
        ([I, "--kernel", "1|2|3"], 2, "3 planes"),
        ([I, "--kernel", "letters:a"], 2, "letters:a"),
        ([I, "--kernel", "line-180"], 2, "0 to 179"),
        ([I, "--pool", "max:6"], 2, "does not fit into 5x5"),
        ([I, "--pool", "min"], 2, "min"),
        ([I, "--pool", "max:x"], 2, "max:3"),
        ([I, "--pool", "max", "--padding", "2"], 2, "padding alone"),
        ([I, "--kernel", K, "--padding", "5", "--border", "reflect"], 2, "cannot be mirrored"),
        ([I, "--kernel", K, "--padding", "full"], 2, "full"),
        ([I, "--kernel", K, "--border", "wrap"], 2, "wrap"),
        ([I, "--kernel", K, "--stride", "0"], 2, "stride of 0"),
        ([I, "--kernel", K, "--at", "3,0"], 2, "it has 0 to 2,2"),
        ([I, "--kernel", K, "--at", "1"], 2, "no place 1"),
        (["sound", "--kernel", "blur"], 2, "one row"),
        (["sound", "--kernel", "1 1", "--colour", "grey"], 2, "colour 'grey'"),
    ],
)
def test_refusals_are_one_line(argv: list[str], code: int, says: str, capsys: Capture) -> None:
    assert command(["filter", *argv]) == code
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert says in err
    assert err.count("\n") == 1


def test_every_option_changes_something(photo: Path) -> None:
    def made(**options: Any) -> Filtered:
        return filter_(photo, **{"windows": ["random"], **options})

    plain = made()
    for options in (
        {"seed": 1},
        {"then": "sigmoid"},
        {"colour": "grey"},
        {"sliding": Sliding(stride=2)},
        {"sliding": Sliding(padding=1)},
    ):
        other = made(**options).outputs[0].values
        assert other.shape != plain.outputs[0].values.shape or not np.allclose(
            other, plain.outputs[0].values
        ), options
    assert made(levels="scale").png() != plain.png()
    assert made(at=(0, 0)).text() != plain.text()


def test_unusable_arrays() -> None:
    for bad in (np.zeros((0, 3, 3)), np.array([[[np.nan]]]), np.zeros(3), np.zeros((1, 1, 1, 1, 1))):
        with pytest.raises(NeocogError):
            filter_(bad, windows=[Kernel("w", np.ones(1))])
    with pytest.raises(UnreadableError):
        filter_(Path("nowhere.png"), windows=["blur"])
