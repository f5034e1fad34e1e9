"""Preprocess against closed forms, NumPy, and geometry worked out by hand."""

from __future__ import annotations

import itertools
import resource
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from neocog.errors import UsageError
from neocog.pictures.preprocess import Preprocess

SCALES = ("raw", "unit", "128", "one", "channels", "given")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def pictures(n: int = 40, channels: int = 3, height: int = 9, width: int = 7) -> torch.Tensor:
    """Channels of different mean and spread."""
    x = noise(n, channels, height, width).astype(int)
    for c in range(channels):
        x[:, c] = x[:, c] // (c + 1) + 20 * c
    return torch.from_numpy(x.clip(0, 255).astype(np.uint8))


def resolved(scale: str, x: torch.Tensor, **more: object) -> Preprocess:
    given = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)} if scale == "given" else {}
    return Preprocess(scale=scale, **given, **more).resolved(x)  # type: ignore[arg-type]


# What the network is fed


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_by_its_formula(scale: str, order: str) -> None:
    x = pictures()
    p = x.double().numpy()
    axes = (0, 2, 3)
    mean3 = np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std3 = np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    expected = {
        "raw": p,
        "unit": p / 255,
        "128": (p - 128) / 128,
        "one": (p - p.mean()) / p.std(),
        "channels": (p - p.mean(axes, keepdims=True)) / p.std(axes, keepdims=True),
        "given": (p / 255 - mean3) / std3,
    }[scale]
    if order == "bgr":
        expected = expected[:, ::-1]
    preprocess = resolved(scale, x, order=order)
    for given in (x, x.float()):
        before = given.clone()
        y = preprocess.normalise(given)
        assert y.dtype == torch.float32
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(given, before)
        assert y.data_ptr() != given.data_ptr()


def test_raw_and_unit_are_exact() -> None:
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(Preprocess(scale="raw").normalise(x), x.float())
    assert torch.equal(Preprocess(scale="unit").normalise(x), x.float() / 255)


def test_kerass_caffe_weights_as_given() -> None:
    """Keras' imagenet_utils, mode 'caffe': BGR minus (103.939, 116.779, 123.68), not divided."""
    mean = (123.68 / 255, 116.779 / 255, 103.939 / 255)
    preprocess = Preprocess(scale="given", mean=mean, std=(1 / 255,) * 3, order="bgr")
    x = pictures(2)
    expected = x.numpy()[:, ::-1].astype(float) - np.array([103.939, 116.779, 123.68]).reshape(3, 1, 1)
    np.testing.assert_allclose(preprocess.normalise(x).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_memory_format_is_kept(kind: torch.dtype, order: str) -> None:
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = pictures(4).to(kind).to(memory_format=memory_format)
        for scale in SCALES:
            y = resolved(scale, pictures(), order=order).normalise(x)
            assert y.is_contiguous(memory_format=memory_format), (scale, memory_format)


def test_normalise_passes_gradients() -> None:
    x = pictures(2).float().requires_grad_()
    resolved("channels", pictures()).normalise(x).sum().backward()
    assert x.grad is not None
    std = pictures().double().numpy().std(axis=(0, 2, 3))
    np.testing.assert_allclose(x.grad[0, :, 0, 0].numpy(), 1 / std, rtol=1e-5)


# What is found in the training pictures


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [1, 3, 5000])
def test_mean_and_std_as_numpy_finds_them(channels: int, n: int) -> None:
    x = pictures(n, channels, 17, 31)
    p = x.double().numpy() / 255
    one, per = resolved("one", x), resolved("channels", x)
    np.testing.assert_allclose((one.mean, one.std), ([p.mean()], [p.std()]), rtol=1e-12)
    np.testing.assert_allclose((per.mean, per.std), (p.mean((0, 2, 3)), p.std((0, 2, 3))), rtol=1e-12)
    assert per.size == (17, 31)
    assert per.channels == channels
    border = np.ones((17, 31), bool)
    border[1:-1, 1:-1] = False
    assert per.background == pytest.approx(p[:, :, border].mean(), rel=1e-12)


def test_resolving_keeps_what_was_given_and_is_idempotent() -> None:
    x = pictures()
    for scale in SCALES:
        asked = Preprocess(
            scale=scale,
            size=(5, 6),
            fill=9,
            background=0.5,
            **({"mean": (0.1,), "std": (0.2,)} if scale == "given" else {}),
        )  # type: ignore[arg-type]
        once = asked.resolved(x)
        assert None not in (once.size, once.channels, once.mean, once.std)
        assert (once.size, once.fill, once.background) == ((5, 6), 9, 0.5)
        assert once.resolved(pictures(7)) == once
        assert Preprocess.model_validate_json(once.model_dump_json()) == once
        assert hash(once) == hash(Preprocess.model_validate_json(once.model_dump_json()))


def test_constant_pictures_divide_by_one_level() -> None:
    x = torch.full((3, 3, 4, 4), 77, dtype=torch.uint8)
    for scale in ("one", "channels"):
        preprocess = resolved(scale, x)
        assert set(preprocess.std or ()) == {1 / 255}
        assert preprocess.normalise(x).abs().max() < 1e-4
    assert resolved("one", torch.zeros(1, 1, 1, 1, dtype=torch.uint8)).background == 0


def test_resolving_takes_little_memory() -> None:
    x = torch.ones(60_000, 1, 28, 28, dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resolved("channels", x)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown << 10 < x.numel()  # in float64 at once it would take eight times as much


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (torch.zeros(2, 3, 4, 4), "float32"),
        (torch.zeros(2, 2, 4, 4, dtype=torch.uint8), "1 or 3"),
        (torch.zeros(0, 3, 4, 4, dtype=torch.uint8), "check the data"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "check the data"),
    ],
)
def test_what_is_no_training_picture_is_refused(x: torch.Tensor, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Preprocess().resolved(x)


def test_channels_that_do_not_meet_are_refused() -> None:
    for asked in (
        Preprocess(channels=3),
        Preprocess(order="bgr"),
        Preprocess(scale="given", mean=(0.1,) * 3, std=(1,) * 3),
    ):
        with pytest.raises(UsageError, match="asks for 3 channels and the pictures have 1"):
            asked.resolved(pictures(channels=1))
    with pytest.raises(UsageError, match="resolve it"):
        Preprocess(scale="one").normalise(pictures())


# Where the pixels go


def test_without_a_size_pixels_stay() -> None:
    colour, grey = noise(5, 8, 3), noise(5, 8)
    for fit, share in itertools.product(("crop", "pad", "stretch"), (1.0, 0.5)):
        asked = Preprocess(fit=fit, crop_share=share)  # type: ignore[arg-type]
        np.testing.assert_array_equal(asked.place(colour), colour.transpose(2, 0, 1))
        np.testing.assert_array_equal(asked.place(grey), grey[None])
        np.testing.assert_array_equal(asked.place(grey[:, :, None]), grey[None])
    placed = Preprocess(channels=3).place(grey)
    np.testing.assert_array_equal(placed, np.stack([grey] * 3))
    assert placed.flags.c_contiguous
    assert placed.flags.writeable


def test_grey_is_itu_r_601_and_keeps_grey() -> None:
    colour = noise(20, 30, 3)
    expected = colour @ np.array([0.299, 0.587, 0.114])
    placed = Preprocess(channels=1).place(colour)
    assert placed.shape == (1, 20, 30)
    assert np.abs(placed[0] - expected).max() <= 0.51
    grey = noise(16, 16)
    np.testing.assert_array_equal(Preprocess(channels=1).place(np.stack([grey] * 3, axis=2))[0], grey)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_the_right_size_is_left_alone(fit: str, interpolation: str) -> None:
    colour = noise(12, 12, 3)
    asked = Preprocess(size=(12, 12), fit=fit, interpolation=interpolation)  # type: ignore[arg-type]
    np.testing.assert_array_equal(asked.place(colour), colour.transpose(2, 0, 1))


def test_shrinking_by_a_whole_factor_averages() -> None:
    """Bilinear at 1/2 is the triangle filter 1 3 3 1 over 8 per axis inside the borders; nearest picks."""
    grey = noise(16, 16)
    stretch = Preprocess(size=(8, 8), fit="stretch")
    weights = np.array([1, 3, 3, 1]) / 8
    expected = sum(
        weights[i] * weights[j] * grey[1 + i : 13 + i : 2, 1 + j : 13 + j : 2]
        for i in range(4)
        for j in range(4)
    )
    assert np.abs(stretch.place(grey)[0, 1:7, 1:7] - expected).max() <= 1
    nearest = Preprocess(size=(8, 8), fit="stretch", interpolation="nearest").place(grey)
    assert set(nearest.ravel()) <= set(grey.ravel())
    assert (Preprocess(size=(5, 9), fit="stretch").place(np.full((30, 7, 3), 99, np.uint8)) == 99).all()


@pytest.mark.parametrize(
    ("shape", "size", "inside"),
    [
        ((10, 20), (8, 8), (2, 6, 0, 8)),  # (top, bottom, left, right) of the picture within the padding
        ((20, 10), (8, 8), (0, 8, 2, 6)),
        ((10, 20), (5, 8), (0, 4, 0, 8)),  # one row left over: it goes below
        ((4, 4), (6, 9), (0, 6, 1, 7)),
        ((100, 1), (8, 8), (0, 8, 3, 4)),
        ((3, 7), (3, 7), (0, 3, 0, 7)),
    ],
)
@pytest.mark.parametrize("fill", [0, 77])
def test_pad_shows_the_whole_picture_in_the_middle(
    shape: tuple[int, int], size: tuple[int, int], inside: tuple[int, int, int, int], fill: int
) -> None:
    placed = Preprocess(size=size, fill=fill).place(np.full((*shape, 3), 200, np.uint8))
    expected = np.full((3, *size), fill, np.uint8)
    top, bottom, left, right = inside
    expected[:, top:bottom, left:right] = 200
    np.testing.assert_array_equal(placed, expected)


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (256, 256), (64, 100), (231, 777), (50, 51)])
@pytest.mark.parametrize("share", [1.0, 0.875])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_is_resize_then_centre_crop(shape: tuple[int, int], share: float, interpolation: str) -> None:
    """torchvision's recipe: the short side to 224/share, the long one rounded down, CenterCrop."""
    colour = noise(*shape, 3)
    height, width = shape
    short = round(224 / share)
    rows, columns = (
        (short, int(short * width / height)) if height <= width else (int(short * height / width), short)
    )
    method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    whole = np.asarray(Image.fromarray(colour).resize((columns, rows), method))
    top, left = round((rows - 224) / 2), round((columns - 224) / 2)
    expected = whole[top : top + 224, left : left + 224].transpose(2, 0, 1)
    asked = Preprocess(size=(224, 224), fit="crop", crop_share=share, interpolation=interpolation)  # type: ignore[arg-type]
    np.testing.assert_array_equal(asked.place(colour), expected)


def test_crop_keeps_the_middle() -> None:
    grey = np.zeros((10, 30), np.uint8)
    grey[:, 10:20] = 255
    assert (Preprocess(size=(10, 10), fit="crop").place(grey) == 255).all()
    assert (Preprocess(size=(10, 10), fit="crop").place(np.ascontiguousarray(grey.T)) == 255).all()
    assert (Preprocess(size=(10, 10), fit="pad").place(grey) == 255).mean() < 0.2


@pytest.mark.parametrize("shape", [(100_000, 1), (1, 100_000), (1, 1)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_needles_need_no_large_buffers(shape: tuple[int, int], fit: str) -> None:
    needle = np.full((*shape, 3), 50, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    placed = Preprocess(size=(448, 448), fit=fit).place(needle)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert placed.shape == (3, 448, 448)
    assert placed.max() == 50
    assert peak < 8 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 24 << 10  # kilobytes


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(UsageError, match="decode it"):
        Preprocess(size=(8, 8)).place(bad)


# Light on dark, dark on light


def digit(ink: int, paper: int, height: int = 28, width: int = 28) -> np.ndarray:
    picture = np.full((height, width), paper, np.uint8)
    picture[height // 4 : -(height // 4), width // 2 - 3 : width // 2 + 3] = ink
    return picture


def test_inverted_pictures_are_noticed() -> None:
    dark = Preprocess(size=(28, 28), channels=1, background=0.02)
    light = Preprocess(size=(28, 28), channels=1, background=0.97, fill=255)
    for preprocess, same, other in (
        (dark, digit(255, 0), digit(0, 255)),
        (light, digit(0, 255), digit(255, 0)),
    ):
        assert not preprocess.looks_inverted(same[None])
        assert preprocess.looks_inverted(other[None])
        assert preprocess.looks_inverted(torch.from_numpy(other[None]))
        assert preprocess.looks_inverted(np.stack([other] * 3))
    assert not dark.model_copy(update={"background": None}).looks_inverted(digit(0, 255)[None])
    assert not dark.model_copy(update={"background": 0.5}).looks_inverted(digit(0, 255)[None])
    coloured = np.stack([digit(0, 255), digit(0, 255), digit(0, 200)])
    assert not dark.looks_inverted(coloured)


@pytest.mark.parametrize("shape", [(400, 300), (300, 400), (900, 200), (60, 61)])
def test_padding_does_not_hide_the_paper(shape: tuple[int, int]) -> None:
    """A photo of a black digit on white paper, of another shape than the network's, gets black bars."""
    dark = Preprocess(size=(28, 28), channels=1, background=0.0)
    assert dark.looks_inverted(dark.place(digit(10, 250, *shape)))
    assert not dark.looks_inverted(dark.place(digit(250, 5, *shape)))
    light = Preprocess(size=(28, 28), channels=1, background=0.98)
    assert not light.looks_inverted(light.place(digit(10, 250, *shape)))
    assert light.looks_inverted(light.place(digit(250, 5, *shape)))
    assert not dark.looks_inverted(np.zeros((1, 28, 28), np.uint8))


# As data


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"size": (0, 5)}, "size"),
        ({"size": (5, 100_000)}, "size"),
        ({"size": (5,)}, "size"),
        ({"channels": 2}, "channels"),
        ({"fit": "squash"}, "fit"),
        ({"crop_share": 0}, "crop_share"),
        ({"crop_share": 1.1}, "crop_share"),
        ({"interpolation": "lanczos"}, "interpolation"),
        ({"scale": "0..1"}, "scale"),
        ({"fill": 256}, "fill"),
        ({"background": -0.1}, "background"),
        ({"surprise": 1}, "surprise"),
        ({"scale": "given"}, "needs mean and std"),
        ({"scale": "given", "mean": (0.5,)}, "come together"),
        ({"scale": "given", "mean": (0.5, 0.5), "std": (1, 1)}, "one per channel"),
        ({"scale": "given", "mean": (0.5,), "std": (1, 1, 1)}, "one per channel"),
        ({"scale": "given", "mean": (0.5,) * 3, "std": (1,) * 3, "channels": 1}, "one per channel"),
        ({"scale": "given", "mean": (0.5,), "std": (0,)}, "std"),
        ({"scale": "given", "mean": (float("nan"),), "std": (1,)}, "mean"),
        ({"scale": "unit", "mean": (0.5,), "std": (1,)}, "set scale to 'given'"),
        ({"order": "bgr", "channels": 1}, "needs 3 channels"),
    ],
)
def test_bad_values_are_named(fields: dict[str, object], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Preprocess.model_validate(fields)


def test_json_both_ways_and_frozen() -> None:
    asked = Preprocess(size=(224, 256), channels=3, fit="crop", crop_share=0.875, order="bgr")
    assert Preprocess.model_validate_json(asked.model_dump_json()) == asked
    assert '"size":[224,256]' in asked.model_dump_json()
    with pytest.raises(ValidationError, match="frozen"):
        asked.fill = 3  # type: ignore[misc]


def test_describe_says_what_differs() -> None:
    variants = [
        {},
        {"size": (28, 28)},
        {"channels": 1},
        {"channels": 3},
        {"channels": 3, "order": "bgr"},
        {"fit": "crop", "crop_share": 0.875},
        {"fit": "stretch"},
        {"interpolation": "bicubic"},
        {"fill": 3},
        *({"scale": scale} for scale in ("raw", "128", "one", "channels")),
        {"scale": "given", "mean": (0.5,), "std": (0.25,)},
    ]
    texts = {Preprocess.model_validate(fields).describe() for fields in variants}
    assert len(texts) == len(variants)
    assert all(text.endswith(".") and "\n" not in text for text in texts)


# What it is in words

BOXED = "channels as in the data, fitted inside and padded with 0, bilinear"
DIVIDED = "pixels divided by 255."


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, f"size as in the data, {BOXED}; {DIVIDED}"),
        (
            {"channels": 1, "size": (28, 32), "fill": 7},
            f"28x32, grey, fitted inside and padded with 7, bilinear; {DIVIDED}",
        ),
        (
            {"channels": 3, "order": "bgr", "fit": "stretch", "interpolation": "nearest", "scale": "raw"},
            "size as in the data, colour in order BGR, stretched, nearest; pixels 0..255 as they are.",
        ),
        (
            {"channels": 3, "fit": "crop", "crop_share": 0.875, "scale": "128"},
            "size as in the data, colour, covering, the middle kept (share 0.875), bilinear; "
            "pixels minus 128, divided by 128.",
        ),
        (
            {"size": (8, 8), "reading": "reduced", "ground": 0, "levels": (16, 4095), "scale": "one"},
            f"8x8, {BOXED}, JPEGs read reduced, samples 16 to 4095 of more than 8 bits, laid on 0; "
            "standardised by one mean and one standard deviation of the training pictures.",
        ),
        (
            {"size": (8, 8), "scale": "channels", "mean": (0.5, 0.25, 0.125), "std": (0.1, 0.2, 0.3)},
            f"8x8, {BOXED}; standardised by each channel's mean and standard deviation over the training "
            "pictures (mean 0.5 0.25 0.125, std 0.1 0.2 0.3).",
        ),
        (
            {"size": (8, 8), "scale": "given", "mean": (0.5,), "std": (0.1,)},
            f"8x8, {BOXED}; standardised by a given mean and standard deviation (mean 0.5, std 0.1).",
        ),
    ],
)
def test_described_in_words(fields: dict[str, object], words: str) -> None:
    assert Preprocess.model_validate(fields).describe() == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": (np.nan,), "std": (1.0,)}, "finite"),
        ({"mean": (0.0,), "std": (np.inf,)}, "finite"),
        ({"background": np.nan}, "finite"),
        ({"levels": (0.0, np.inf)}, "finite"),
        ({"scale": "given"}, "scale 'given' needs mean and std, as shares of 0..1"),
        ({"mean": (0.0,)}, "mean and std come together; give both or neither"),
        ({"mean": (0.0,) * 3, "std": (1.0,)}, r"mean and std have \[1, 3\] numbers"),
        ({"mean": (0.0,) * 3, "std": (1.0,) * 3, "channels": 1}, r"mean and std have \[3\] numbers"),
        ({"max_pixels": 2_000_000_001}, "less than or equal to 2000000000"),
        ({"size": (16_385, 1)}, "less than or equal to 16384"),
    ],
)
def test_fields_that_cannot_be(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Preprocess.model_validate(fields)
    assert Preprocess(max_pixels=2_000_000_000, size=(16_384, 1)).max_pixels == 2_000_000_000
