"""Augmentation against closed forms, NumPy and scipy.ndimage."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pydantic
import pytest
import torch
from torch import Tensor

from neocog.data.augment import colour, mix, warp
from neocog.data.augment.amounts import Draw
from neocog.data.augment.augment import PRESETS, Augment
from neocog.data.targets import CLASS_INDICES
from neocog.errors import UsageError

FILLS = get_args(warp.Fill)
NUMPY_PAD = {"nearest": "edge", "constant": "constant", "reflect": "symmetric", "wrap": "wrap"}
SCIPY_MODE = {"nearest": "nearest", "constant": "grid-constant", "reflect": "reflect", "wrap": "grid-wrap"}

ON: dict[str, Any] = {
    "preset": "light",
    "flip": "horizontal",
    "rotation": 30,
    "shift_height": 0.2,
    "shift_width": 3,
    "shear": 20,
    "zoom": 0.3,
    "crop": 4,
    "crop_scale": (0.3, 0.8),
    "channel_shift": 40,
    "brightness": 0.5,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.3,
    "cutout": 5,
    "rescale": 0.5,
    "mixup": 0.4,
    "cutmix": 1.0,
}
"""One value of each field that changes pictures by itself."""


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 6, channels: int = 3, height: int = 12, width: int = 9, seed: int = 1) -> Tensor:
    return torch.randint(0, 256, (n, channels, height, width), generator=stream(seed)).float()


def labels(n: int = 6) -> Tensor:
    return torch.arange(n) % 4


def vary(x: Tensor, seed: int = 0, **fields: Any) -> Tensor:
    return Augment(**fields)(x.clone(), labels(len(x)), 4, stream(seed))[0]


def single(*values: float) -> list[Tensor]:
    return [torch.tensor([value]) for value in values]


def test_off_returns_the_very_tensors() -> None:
    x, y = pictures(), labels()
    same_x, same_y = Augment()(x, y, 4, stream())
    assert same_x is x
    assert same_y is y
    assert Augment(fill="wrap", fill_value=3).is_off


def test_the_table_of_this_file_holds_every_field() -> None:
    assert set(ON) | {"fill", "fill_value"} == set(Augment.model_fields)


@pytest.mark.parametrize("name", ON)
def test_every_field_changes_something_and_is_repeatable(name: str) -> None:
    augment, x = Augment(**{name: ON[name]}), pictures()
    assert not augment.is_off
    first, y = augment(x.clone(), labels(), 4, stream(3))
    again, _ = augment(x.clone(), labels(), 4, stream(3))
    other, _ = augment(x.clone(), labels(), 4, stream(4))
    assert not torch.equal(first, x)
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "rescale")
    assert first.shape == x.shape
    assert first.dtype == torch.float32
    assert first.min() >= -1e-3
    assert first.max() <= 255 + 1e-3
    assert y.ndim == (2 if name in ("mixup", "cutmix") else 1)


@pytest.mark.parametrize("name", [n for n in ON if n != "rescale"])
def test_each_picture_draws_its_own_amount(name: str) -> None:
    x = pictures(1).expand(16, -1, -1, -1).clone()
    partners = pictures(16) if name in ("mixup", "cutmix") else x
    varied = vary(partners, **{name: ON[name]})
    assert len({tuple(picture.flatten().tolist()) for picture in varied}) > 1


@pytest.mark.parametrize("fill", FILLS)
def test_fill_modes_differ(fill: str) -> None:
    others = [vary(pictures(), shift_width=4, rotation=20, fill=f, fill_value=7) for f in FILLS if f != fill]
    own = vary(pictures(), shift_width=4, rotation=20, fill=fill, fill_value=7)
    assert not any(torch.equal(own, other) for other in others)


@pytest.mark.parametrize("name", ["shift_height", "rotation", "cutout"])
def test_fill_value_is_what_gaps_hold(name: str) -> None:
    on = {"shift_height": 3, "rotation": 30, "cutout": 5}
    x = pictures().clamp(100, 200)
    for level in (0.0, 255.0):
        varied = vary(x, fill="constant", fill_value=level, **{name: on[name]})
        assert torch.isclose(varied, torch.tensor(level), atol=1e-3).any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ON)
@pytest.mark.parametrize("fill", FILLS)
def test_memory_format_is_kept_and_changes_no_value(
    name: str, fill: str, layout: torch.memory_format
) -> None:
    augment = Augment(**{name: ON[name], "fill": fill})
    x, _ = augment(pictures().contiguous(memory_format=layout), labels(), 4, stream())
    assert x.is_contiguous(memory_format=layout)
    plain, _ = augment(pictures(), labels(), 4, stream())
    torch.testing.assert_close(x, plain, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_everything_together_on_any_number_of_channels(channels: int) -> None:
    colours = ("saturation", "hue") if channels != 3 else ()
    augment = Augment(**{name: value for name, value in ON.items() if name not in colours})
    x, y = augment(pictures(channels=channels), labels(), 4, stream())
    assert x.shape == (6, channels, 12, 9)
    torch.testing.assert_close(y.sum(1), torch.ones(6))


def test_mirroring_twice_is_nothing() -> None:
    x = pictures()
    rows, columns = torch.rand(6) < 0.5, torch.rand(6) < 0.5
    once = warp.flip(x, rows=rows, columns=columns)
    assert not torch.equal(once, x)
    assert torch.equal(warp.flip(once, rows=rows, columns=columns), x)


@pytest.mark.parametrize(
    ("flip", "axes"),
    [("horizontal", [(), (2,)]), ("vertical", [(), (1,)]), ("both", [(), (1,), (2,), (1, 2)])],
)
def test_mirrors_are_numpys_and_each_comes_up(flip: str, axes: list[tuple[int, ...]]) -> None:
    x = pictures(64)
    seen = set()
    for before, after in zip(x.numpy(), vary(x, flip=flip).numpy(), strict=True):
        (which,) = [a for a in axes if np.array_equal(np.flip(before, a), after)]
        seen.add(which)
    assert seen == set(axes)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("down", [-30, -5, 0, 2, 12, 40])
@pytest.mark.parametrize("right", [-4, 0, 9])
def test_whole_pixels_are_numpys_pad_and_slice(fill: warp.Fill, down: int, right: int) -> None:
    x = pictures(2)
    rows = (torch.arange(12) + down).expand(2, -1)
    columns = (torch.arange(9) + right).expand(2, -1)
    options = {"constant_values": 9} if fill == "constant" else {}
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (40, 40), (40, 40)), mode=NUMPY_PAD[fill], **options)
    expected = padded[:, :, 40 + down : 52 + down, 40 + right : 49 + right]
    moved = warp.take_lines(x, rows, columns, fill=fill, fill_value=9)
    assert np.array_equal(moved.numpy(), expected)


@pytest.mark.parametrize("fill", FILLS)
def test_resampling_by_whole_pixels_is_the_copy(fill: warp.Fill) -> None:
    x = pictures(1)
    copied = warp.take_lines(
        x, torch.arange(12)[None] + 3, torch.arange(9)[None] - 2, fill=fill, fill_value=9
    )
    sampled = warp.resample(x, warp.shift(*single(3, -2)), fill=fill, fill_value=9)
    torch.testing.assert_close(sampled, copied, atol=1e-3, rtol=0)


def test_shifts_of_whole_pixels_cover_their_range_and_no_more() -> None:
    x = torch.arange(9.0).expand(400, 1, 12, 9)
    moved = vary(x, shift_width=2, fill="nearest")
    assert set(moved[:, 0, 0, 4].tolist()) == {2.0, 3.0, 4.0, 5.0, 6.0}
    assert torch.equal(moved[:, :, 0], moved[:, :, 11])


def test_shifts_by_a_share_are_fractions_within_it() -> None:
    x = torch.arange(100.0).expand(400, 1, 4, 100)
    at = vary(x, shift_width=0.2)[:, 0, 0, 50] - 50
    assert at.abs().max() <= 20.001
    assert at.abs().max() > 18
    assert ((at - at.round()).abs() > 0.01).any()


def test_crop_is_pad_and_random_window() -> None:
    x = pictures(1).expand(300, -1, -1, -1)
    padded = np.pad(x[0].numpy(), ((0, 0), (1, 1), (1, 1)))
    windows = [padded[:, i : i + 12, j : j + 9] for i in range(3) for j in range(3)]
    seen = set()
    for picture in vary(x, crop=1, fill="constant").numpy():
        (which,) = [k for k, window in enumerate(windows) if np.array_equal(window, picture)]
        seen.add(which)
    assert seen == set(range(9))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("degrees", "turns"), [(90, -1), (-90, 1), (180, 2)])
def test_right_angles_are_rot90(fill: warp.Fill, degrees: float, turns: int) -> None:
    x = pictures(2, height=11, width=11)
    turned = warp.resample(x, warp.rotation(torch.tensor([degrees, degrees])), fill=fill)
    torch.testing.assert_close(turned, torch.rot90(x, turns, (2, 3)), atol=0.01, rtol=0)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("movement", ["rotation", "shift", "shear", "zoom", "all"])
@pytest.mark.parametrize("size", [(12, 9), (8, 8), (1, 5)])
def test_resampling_is_scipys(fill: warp.Fill, movement: str, size: tuple[int, int]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    a, b, c, d = math.radians(25), 0.5, -2.3, math.radians(-17)
    chain = {
        "rotation": np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]),
        "shift": np.array([[1, 0, b], [0, 1, c], [0, 0, 1]]),
        "shear": np.array([[1, -math.sin(d), 0], [0, math.cos(d), 0], [0, 0, 1]]),
        "zoom": np.diag([1.7, 0.6, 1]),
    }
    ours = {
        "rotation": warp.rotation(*single(25)),
        "shift": warp.shift(*single(b, c)),
        "shear": warp.shear(*single(-17)),
        "zoom": warp.scale(*single(1.7, 0.6)),
    }
    chain["all"] = np.linalg.multi_dot(list(chain.values()))
    ours["all"] = ours["rotation"] @ ours["shift"] @ ours["shear"] @ ours["zoom"]
    matrix = chain[movement]
    x = pictures(1, height=size[0], width=size[1])
    centre = (np.array(size) - 1) / 2
    offset = matrix[:2, 2] + centre - matrix[:2, :2] @ centre
    options = {"order": 1, "mode": SCIPY_MODE[fill], "cval": 9.0, "prefilter": False}
    expected = [ndimage.affine_transform(c, matrix[:2, :2], offset, **options) for c in x[0].double().numpy()]
    moved = warp.resample(x, ours[movement], fill=fill, fill_value=9)
    np.testing.assert_allclose(moved[0].numpy(), np.stack(expected), atol=0.01)


def test_one_resampling_composes_what_two_would() -> None:
    """A mirror after a turn: the product of the matrices, not two passes."""
    x = pictures(40, height=11, width=11)
    turned = vary(x, rotation=1e-6, flip="horizontal")
    same = (turned - x).abs().amax((1, 2, 3)) < 0.05
    mirrored = (turned - x.flip(3)).abs().amax((1, 2, 3)) < 0.05
    assert (same ^ mirrored).all()
    assert same.any()
    assert mirrored.any()


def linear_part(n: int = 200, **fields: Any) -> Tensor:
    """The 2x2 matrices (N, 2, 2) by which places are read, measured on pictures of coordinates."""
    rows, columns = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
    x = vary(torch.stack([rows, columns]).expand(n, -1, -1, -1), **fields)
    return torch.stack([x[:, :, 33, 32] - x[:, :, 31, 32], x[:, :, 32, 33] - x[:, :, 32, 31]], dim=2) / 2


def test_the_linear_part_of_each_movement() -> None:
    turned = linear_part(rotation=30)
    torch.testing.assert_close(turned @ turned.mT, torch.eye(2).expand(200, 2, 2), atol=1e-3, rtol=0)
    angle = torch.atan2(turned[:, 1, 0], turned[:, 0, 0]).rad2deg()
    assert -30.1 < angle.min() < -25
    assert 25 < angle.max() < 30.1
    sheared = linear_part(shear=20)
    sine = -sheared[:, 0, 1]
    torch.testing.assert_close(sheared[:, 1, 1], (1 - sine**2).sqrt(), atol=1e-3, rtol=0)
    torch.testing.assert_close(sheared[:, :, 0], torch.tensor([1.0, 0]).expand(200, 2), atol=1e-3, rtol=0)
    assert 0.3 < sine.abs().max() < math.sin(math.radians(20.1))
    zoomed = linear_part(zoom=0.3)
    torch.testing.assert_close(zoomed, zoomed[:, :1, :1] * torch.eye(2), atol=1e-3, rtol=0)
    assert 0.69 < zoomed[:, 0, 0].min() < 0.75
    assert 1.25 < zoomed[:, 0, 0].max() < 1.31
    moved = linear_part(shift_width=0.2, shift_height=3, crop=2)
    torch.testing.assert_close(moved, torch.eye(2).expand(200, 2, 2), atol=1e-3, rtol=0)


def test_movements_compose_in_keras_order() -> None:
    """Rotation after shear: both columns keep one length, which the opposite order would not give them."""
    columns = linear_part(rotation=40, shear=30, zoom=0.2).square().sum(1)
    torch.testing.assert_close(columns[:, 0], columns[:, 1], atol=5e-3, rtol=0)


def test_mirror_and_shift_by_whole_pixels_compose_exactly() -> None:
    x = pictures(1).expand(300, -1, -1, -1)
    padded = np.pad(x[0].numpy(), ((0, 0), (3, 3), (2, 2)), mode="wrap")
    windows = [
        padded[:, 3 + i : 15 + i, 2 + j : 11 + j][:, :, ::mirror]
        for i in range(-3, 4)
        for j in range(-2, 3)
        for mirror in (1, -1)
    ]
    seen = set()
    for picture in vary(x, flip="horizontal", shift_height=3, shift_width=2, fill="wrap").numpy():
        (which,) = [k for k, window in enumerate(windows) if np.array_equal(window, picture)]
        seen.add(which)
    assert len(seen) > 60


def test_a_window_has_its_share_of_the_area_and_an_aspect_within_bounds() -> None:
    gradient = torch.linspace(0, 255, 64).expand(200, 1, 64, 64)
    part = vary(gradient, crop_scale=(0.25, 0.25))
    seen = (part[:, 0, 0, -1] - part[:, 0, 0, 0]) / 255
    low, high = 0.5 * math.sqrt(3 / 4), 0.5 * math.sqrt(4 / 3)
    assert seen.min() > low - 0.03
    assert seen.max() < high + 0.03
    assert seen.std() > 0.01


def test_brightness_contrast_saturation_against_pillow() -> None:
    from PIL import Image, ImageEnhance

    x = pictures(1, height=24, width=20)
    image = Image.fromarray(x[0].byte().permute(1, 2, 0).numpy())
    for factor in (0.4, 1.0, 1.7):
        for ours, theirs in (
            (colour.brighten, ImageEnhance.Brightness),
            (colour.contrast, ImageEnhance.Contrast),
            (colour.saturate, ImageEnhance.Color),
        ):
            expected = np.asarray(theirs(image).enhance(factor)).transpose(2, 0, 1)
            changed = ours(x.clone(), torch.tensor([factor]))
            np.testing.assert_allclose(changed[0].numpy(), expected, atol=2)  # Pillow rounds to whole levels


def test_hue_against_colorsys() -> None:
    import colorsys

    x = pictures(1, height=5, width=5)
    x[0, :, 0, 0] = 77  # grey has no hue
    x[0, :, 0, 1] = 0
    for turn in (0.0, 0.1, -0.4, 1 / 3):
        turned = colour.turn_hue(x.clone(), torch.tensor([turn]))
        for i, j in np.ndindex(5, 5):
            h, s, v = colorsys.rgb_to_hsv(*(x[0, :, i, j] / 255).tolist())
            expected = [255 * c for c in colorsys.hsv_to_rgb((h + turn) % 1, s, v)]
            np.testing.assert_allclose(turned[0, :, i, j].numpy(), expected, atol=0.01)


def test_a_third_of_the_circle_makes_red_green() -> None:
    red = torch.tensor([255.0, 0, 0]).view(1, 3, 1, 1)
    green = colour.turn_hue(red.clone(), torch.tensor([1 / 3]))
    torch.testing.assert_close(green.flatten(), torch.tensor([0, 255.0, 0]), atol=0.01, rtol=0)


def test_channels_shift_apart_and_stop_at_the_ends() -> None:
    x = torch.full((50, 3, 2, 2), 128.0)
    moved = vary(x, channel_shift=20) - 128
    assert moved.abs().max() <= 20
    assert (moved[:, 0] != moved[:, 1]).all()
    assert torch.equal(moved.amax((2, 3)), moved.amin((2, 3)))
    assert vary(torch.full((50, 1, 1, 1), 254.0), channel_shift=200).max() == 255


def test_cutout_is_one_square() -> None:
    cut = vary(torch.full((300, 1, 12, 9), 50.0), cutout=4) == 0
    sizes = cut.sum((1, 2, 3))
    assert sizes.max() == 16
    assert sizes.min() == 4  # a corner: half of each side falls outside
    rows, columns = cut.any(3).sum(2).flatten(), cut.any(2).sum(2).flatten()
    assert torch.equal(rows * columns, sizes)
    covered = cut.any(0)
    assert covered.all()


def test_rescale_is_a_factor() -> None:
    torch.testing.assert_close(vary(pictures(), rescale=1 / 255), pictures() / 255)


def test_mixing_with_weight_one_is_nothing_and_zero_is_the_partner() -> None:
    x, y, partner = pictures(), CLASS_INDICES.shares(labels(), 4), torch.tensor([3, 4, 5, 0, 1, 2])
    same = mix.mix(x, y, torch.ones(6, 1, 1, 1), partner)
    assert torch.equal(same[0], x)
    assert torch.equal(same[1], y)
    other = mix.mix(x, y, torch.zeros(6, 1, 1, 1), partner)
    assert torch.equal(other[0], x[partner])
    assert torch.equal(other[1], y[partner])


def test_mixup_blends_pictures_and_labels_by_one_share() -> None:
    """Pictures that hold their own class as a level: the mean level is the labels' expectation."""
    y = torch.arange(100) % 4
    x = y.float().view(-1, 1, 1, 1).expand(-1, 3, 5, 5).clone()
    mixed, soft = Augment(mixup=1.0)(x, y, 4, stream())
    torch.testing.assert_close(soft.sum(1), torch.ones(100))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ torch.arange(4.0), atol=1e-5, rtol=0)
    assert (mixed.amax((1, 2, 3)) - mixed.amin((1, 2, 3))).max() == 0
    assert ((soft > 0.01) & (soft < 0.99)).any()


@pytest.mark.parametrize("fields", [{"cutmix": 1.0}, {"cutmix": 1.0, "mixup": 1.0}])
def test_cutmix_labels_are_the_share_of_the_area(fields: dict[str, float]) -> None:
    y = torch.arange(400) % 4
    x = y.float().view(-1, 1, 1, 1).expand(-1, 3, 10, 10).clone()
    mixed, soft = Augment(**fields)(x, y, 4, stream())
    torch.testing.assert_close(soft.sum(1), torch.ones(400))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ torch.arange(4.0), atol=1e-4, rtol=0)
    cut = mixed.amax((1, 2, 3)) > mixed.amin((1, 2, 3))
    blended = ~cut & (soft.amax(1) < 1)
    assert torch.equal(mixed[cut], mixed[cut].round())  # whole pixels of one picture or the other
    assert 100 < cut.sum() < 380
    assert bool(blended.any()) == ("mixup" in fields)


def test_cutmix_box_has_the_share_it_was_drawn_for() -> None:
    share = torch.tensor([0.75, 0.0, 1.0])
    inside = mix.cutmix_box((100, 60), share, torch.tensor([50, 50, 50]), torch.tensor([30, 30, 30]))
    assert inside.sum((1, 2, 3)).tolist() == [50 * 30, 6000, 0]


def test_label_sets_are_mixed_and_otherwise_left_alone() -> None:
    sets = torch.tensor([[1.0, 1, 0], [0, 0, 1]])
    x = pictures(2)
    _, same = Augment(rotation=10)(x.clone(), sets, 3, stream())
    assert same is sets
    _, soft = Augment(mixup=1.0)(x, sets, 3, stream(5))
    assert soft.shape == (2, 3)
    assert soft.min() >= 0
    assert soft.max() <= 1


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_beta_has_its_mean_and_variance(alpha: float) -> None:
    drawn = Draw(20_000, stream()).beta(alpha)
    assert abs(float(drawn.mean()) - 0.5) < 0.01
    assert abs(float(drawn.var()) - 1 / (4 * (2 * alpha + 1))) < 0.01


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "none"])
def test_presets_fill_defaults_and_yield_to_values(name: str) -> None:
    assert Augment(preset=name).resolved == Augment(**PRESETS[name])
    assert Augment(preset=name, rotation=77).resolved == Augment(**{**PRESETS[name], "rotation": 77})
    again = Augment.model_validate_json(Augment(preset=name, flip="both").model_dump_json())
    assert again.resolved == Augment(**PRESETS[name], flip="both")
    assert torch.equal(vary(pictures(), preset=name), vary(pictures(), **PRESETS[name]))


def test_strong_is_stronger_than_light() -> None:
    assert all(PRESETS["strong"][name] > value for name, value in PRESETS["light"].items())


@pytest.mark.parametrize(
    "fields",
    [
        {"flip": True},
        {"rotation": 181},
        {"shift_width": -0.1},
        {"shift_width": 1.5},
        {"zoom": 1},
        {"shear": 90},
        {"crop": 1.5},
        {"crop_scale": (0, 1)},
        {"crop_scale": (0.8, 0.5)},
        {"hue": 0.6},
        {"mixup": math.inf},
        {"fill": "zeros"},
        {"cropp": 4},
    ],
)
def test_fields_that_cannot_be_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Augment(**fields)


def test_it_refuses_colour_for_grey_and_pictures_as_targets() -> None:
    with pytest.raises(UsageError, match="RGB"):
        Augment(hue=0.1)(pictures(channels=1), labels(), 4, stream())
    with pytest.raises(UsageError, match="targets"):
        Augment(rotation=1)(pictures(), pictures(), 4, stream())


@pytest.mark.parametrize(
    "preview", [{"flip": "both"}, {"rotation": 30}, {"shift_width": 8}, {"shift_width": 8, "shift_height": 8}]
)
def test_variants_for_a_preview(preview: dict[str, Any]) -> None:
    picture = pictures(1, height=28, width=28)[0].byte()
    kept = picture.clone()
    shown = Augment(**preview, mixup=1.0).variants(picture, 8, seed=42)
    assert shown.dtype == torch.uint8
    assert shown.shape == (8, 3, 28, 28)
    assert torch.equal(picture, kept)
    assert len({tuple(v.flatten().tolist()) for v in shown}) > 1
    assert torch.equal(shown, Augment(**preview).variants(picture, 8, seed=42))
    assert torch.equal(Augment().variants(picture, 2, seed=1), picture.expand(2, -1, -1, -1))


DIGITS = tuple("0123456789")


@pytest.mark.parametrize(
    ("fields", "classes", "expected"),
    [
        ({}, DIGITS, ()),
        ({"rotation": 30}, DIGITS, ()),
        ({"rotation": 180}, DIGITS, ("6",)),
        ({"flip": "horizontal"}, DIGITS, ("2", "mirror writing")),
        ({"flip": "both"}, DIGITS, ("2", "6", "mirror writing")),
        ({"flip": "horizontal"}, ("b", "d"), ("b", "mirror writing")),
        ({"flip": "horizontal"}, ("cat", "dog"), ()),
        ({"flip": "horizontal"}, ("left", "right"), ("left",)),
        ({"hue": 0.2}, ("red", "green"), ("red, green",)),
        ({"hue": 0.2}, ("cat", "dog"), ()),
        ({"rescale": 0.5}, ("cat", "dog"), ("Preprocess",)),
    ],
)
def test_remarks_name_the_labels_that_may_change(
    fields: dict[str, Any], classes: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    said = Augment(**fields).remarks(classes)
    assert bool(said) == bool(expected)
    for part in expected:
        assert any(part in sentence for sentence in said)
