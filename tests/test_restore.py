"""Restoring pictures: damage, how near a picture is to another, training, resumption, tiles."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import neocog
from neocog.cli import run as command
from neocog.data.damage import KINDS, Damage
from neocog.data.dataset import Dataset, Split
from neocog.data.posed import posed
from neocog.errors import Interrupted, ShapeError, UsageError
from neocog.figures.entry import Asked
from neocog.figures.restoring import Restoring, k_means, loss_verdict, purity
from neocog.model import Trained
from neocog.pictures.decode import Preprocess
from neocog.recipes.chapters import RECIPES
from neocog.runs.run import Run
from neocog.tasks.quality import median_filtered, psnr, ssim
from neocog.tasks.restore import Restore
from neocog.verbs.restore import hill, restore, restored, starts
from neocog.zoo import Model, build
from neocog.zoo.layer_list import parse

Capture = pytest.CaptureFixture[str]
AMOUNTS: dict[str, float] = {
    "blur": 2, "blotches": 3, "scratches": 3, "tears": 2, "blocks": 3, "mask": 0.3, "noise": 20,
}  # fmt: skip
TINY = [
    {"kind": "conv", "filters": 4, "kernel": 3, "padding": "same", "activation": "relu"},
    {"kind": "conv", "filters": 1, "kernel": 3, "padding": "same"},
]
QUICK = ["epochs=2", "data.limit=128", "batch=32", "preprocess.size=null", "preprocess.fit=pad"]


def pictures(n: int, c: int = 1, h: int = 24, w: int = 30) -> torch.Tensor:
    """Smooth pictures, uint8 (n, c, h, w)."""
    steps = torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(1)).cumsum(2).cumsum(3)
    low, high = steps.amin((1, 2, 3), keepdim=True), steps.amax((1, 2, 3), keepdim=True)
    return ((steps - low) / (high - low) * 255).byte()


# --- damage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_damages_and_is_drawn_from_its_generator(kind: str) -> None:
    damage, x = Damage(**{kind: AMOUNTS[kind]}), pictures(4, 3).float()
    before = x.clone()
    first, again, other = (damage(x, torch.Generator().manual_seed(n)) for n in (5, 5, 6))
    assert torch.equal(x, before), "what is damaged is a copy"
    assert torch.equal(first, again)
    assert kind == "blur" or not torch.equal(first, other)
    assert torch.equal(first, first.round())
    assert first.min() >= 0
    assert first.max() <= 255
    changed = (first != x).flatten(1).any(1)
    assert changed.all(), "every picture is damaged"


def test_amounts_mean_what_they_say() -> None:
    x = torch.full((1, 1, 200, 200), 100.0)
    lost = Damage(mask=0.5, fill=128)(x, torch.Generator().manual_seed(0))
    assert (lost == 128).float().mean() == pytest.approx(0.5, abs=0.01)
    assert sorted(set(lost.flatten().tolist())) == [100, 128]
    noise = Damage(noise=20)(x, torch.Generator().manual_seed(0)) - 100
    assert float(noise.std()) == pytest.approx(20, rel=0.02)
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 255 * 10
    spread = Damage(blur=2)(point, torch.Generator())[0, 0, 20]
    assert float(spread[22] / spread[20]) == pytest.approx(np.exp(-0.5), rel=0.03)


def test_nothing_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no damage is on; give an amount of one of: blur, blotches"):
        Damage()


def whole(n: int = 6) -> Dataset:
    split = Split(pictures(n), torch.zeros(n, dtype=torch.int64))
    return Dataset("given", ("a", "b"), split, val=split.subset(torch.arange(3)), test=split)


def test_held_out_pictures_are_damaged_by_their_seed_alone() -> None:
    plain, damage = whole(), Damage(mask=0.5, seed=7)
    one, same, other = (posed(plain, d) for d in (damage, damage, Damage(mask=0.5, seed=8)))
    assert one.test is not None and same.test is not None and other.test is not None  # noqa: PT018
    assert torch.equal(one.test.x, same.test.x)
    assert not torch.equal(one.test.x, other.test.x)
    assert torch.equal(one.test.y, plain.train.x)
    assert torch.equal(one.train.x, plain.train.x), "what is damaged in every epoch stays whole"
    assert one.val is not None
    assert not torch.equal(one.val.x, one.test.x[:3]), "each split has damage of its own"
    once = posed(plain, Damage(mask=0.5, redraw="never"))
    assert not torch.equal(once.train.x, plain.train.x)
    assert torch.equal(once.train.y, plain.train.x)


# --- quality -----------------------------------------------------------------------------------------------


def test_psnr_by_hand() -> None:
    x, y = torch.full((1, 1, 4, 4), 100.0), torch.full((1, 1, 4, 4), 110.0)
    assert float(psnr(x, y)) == pytest.approx(10 * np.log10(255**2 / 100))
    assert float(psnr(x, x)) == 100


def test_ssim_and_median_equal_loops_over_windows() -> None:
    """Written from the paper's formula, window by window."""
    x, y = pictures(2, 1, 14, 13), pictures(2, 1, 14, 13).flip(3)
    places = np.arange(11) - 5
    row = np.exp(-0.5 * (places / 1.5) ** 2)
    weights = np.outer(row, row) / row.sum() ** 2
    for n in range(2):
        a, b = x[n, 0].double().numpy(), y[n, 0].double().numpy()
        found = []
        for i in range(4):
            for j in range(3):
                p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
                mp, mq = (weights * p).sum(), (weights * q).sum()
                vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
                both = (weights * (p - mp) * (q - mq)).sum()
                c1, c2 = 2.55**2, 7.65**2
                up = (2 * mp * mq + c1) * (2 * both + c2)
                found.append(up / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
        assert float(ssim(x, y)[n]) == pytest.approx(np.mean(found), rel=1e-9)
        around = np.pad(a, 1, mode="edge")
        wanted = [[np.median(around[i : i + 3, j : j + 3]) for j in range(13)] for i in range(14)]
        assert median_filtered(x)[n, 0].tolist() == wanted
    assert ssim(x, x).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("scale", ["unit", "128", "channels"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_levels_undo_the_scale(scale: Any, order: Any) -> None:
    x = pictures(2, 3)
    preprocess = Preprocess(scale=scale, channels=3, order=order).resolved(x)
    task = Restore(("a",), preprocess=preprocess)
    assert torch.allclose(task.levels(preprocess.normalise(x)), x.float(), atol=1e-3)
    assert float(task.loss(preprocess.normalise(x), x)) == 0


# --- training ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.json"
    path.write_text(json.dumps({"layers": TINY}))
    return path


@pytest.fixture(scope="module")
def trained(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("restore") / "run"
    return neocog.train("m12-fresh", data="digits", model=net, changes=QUICK, out=out)


def test_a_training_measures_reports_and_is_measured_again(trained: Run, tmp_path: Path) -> None:
    losses = [epoch["loss"] for epoch in trained.metrics()]
    assert losses[1] < losses[0]
    result = trained.facts()["result"]
    found: Any = neocog.evaluate(trained, report=tmp_path / "page.html")
    assert found.json()["loss"] == result["test_loss"]
    assert found.restored.psnr == result["test_psnr"]
    assert found.damaged.psnr < 16, "half of the pixels are lost"
    assert f"{result['test_psnr']:.2f} dB" in trained.text()
    for page in (trained.report_file, tmp_path / "page.html"):
        html = page.read_text()
        assert "Damaged above restored" in html
        assert "Restored worst" in html
    with pytest.raises(UsageError, match="no classes to group"):
        neocog.evaluate(trained, group={"a": ["0"]})


def test_damage_is_drawn_anew_in_every_epoch_or_never(net: Path, tmp_path: Path) -> None:
    from neocog.training.order import Order

    for name, fresh in (("m12-fresh", True), ("m12", False)):
        job = Order(what=name, data="digits", model=net, changes=QUICK, out=tmp_path / name).ready().job
        seen = []
        for epoch in (0, 1):
            batches = list(job.batches(epoch))
            rows = job.feed(epoch).rows(epoch)
            x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
            back = rows.argsort()
            seen.append((x[back], y[back].float()))
        assert torch.equal(seen[0][1], seen[1][1])
        assert torch.equal(seen[0][0], seen[1][0]) is not fresh
        lost = (seen[0][0] == 0) & (job.trained.preprocess.normalise(seen[0][1]) != 0)
        assert float(lost.float().mean()) == pytest.approx(0.5, abs=0.02)


def test_a_resumed_training_ends_with_the_same_bits(trained: Run, net: Path, tmp_path: Path) -> None:
    asked = iter(range(100))
    with pytest.raises(Interrupted):
        neocog.train(
            "m12-fresh",
            data="digits",
            model=net,
            changes=QUICK,
            out=tmp_path / "cut",
            stop=lambda: next(asked) == 1,
        )
    again = neocog.resume(tmp_path / "cut")
    assert again.model_file.read_bytes()[-400:] == trained.model_file.read_bytes()[-400:]
    timeless = [{k: v for k, v in e.items() if "second" not in k} for e in again.metrics()]
    assert timeless == [{k: v for k, v in e.items() if "second" not in k} for e in trained.metrics()]


def test_verbs_of_names_refuse_a_network_that_gives_pictures(trained: Run, run: Run) -> None:
    with pytest.raises(UsageError, match="restores pictures and names none"):
        neocog.predict(trained, split="test")
    with pytest.raises(UsageError, match="restores pictures and names none"):
        neocog.compare([trained, run])


def test_the_chapters_networks_have_their_parameters() -> None:
    for name, shape, count in (("m12", (1, 28, 28), 105_392), ("m14", (1, 32, 16), 25_648)):
        network = build(RECIPES[name].model, shape=shape, classes=10)
        assert sum(p.numel() for p in network.parameters()) == count
        assert network(torch.zeros(2, *shape)).shape == (2, *shape)


def test_what_cannot_be_restored_is_refused(net: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"gives 10 where pictures of .* are to be restored; end"):
        neocog.train("m12", data="digits", model="m1", changes=QUICK, out=tmp_path / "a")
    with pytest.raises(UsageError, match="have none; leave it"):
        neocog.train("m12", data="digits", model=net, changes=[*QUICK, "balance=loss"], out=tmp_path / "b")
    with pytest.raises(UsageError, match="and restores none; train one that does"):
        restore(run, ["x.png"], out=tmp_path / "x.png")
    with pytest.raises(UsageError, match="say which: --data FOLDER"):
        neocog.train("restore", out=tmp_path / "c")


# --- photos ------------------------------------------------------------------------------------------------


def same(channels: int, side: int = 8) -> Trained:
    """A network that gives back what it is shown."""
    layers = parse([{"kind": "conv", "filters": channels, "kernel": 1, "bias": False}])
    network = build(Model(layers=layers), shape=(channels, side, side), classes=1).eval()
    torch.nn.init.dirac_(next(network.parameters()))
    return Trained(
        network=network,
        model=Model(layers=layers),
        shape=(channels, side, side),
        classes=("photo",),
        preprocess=Preprocess(size=(side, side), channels=channels),
        task="restore",
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (21, 34), (3, 40), (5, 5)])
def test_tiles_of_what_is_left_alone_are_the_picture(channels: int, size: tuple[int, int]) -> None:
    pixels = np.ascontiguousarray(pictures(1, 3, *size)[0].permute(1, 2, 0).numpy())
    for overlap in (0.0, 0.5, 0.8):
        found, tiles = restored(same(channels), pixels, overlap=overlap, device=torch.device("cpu"))
        assert np.array_equal(found, pixels)
        assert tiles == len(starts(max(size[0], 8), 8, overlap)) * len(starts(max(size[1], 8), 8, overlap))


def test_tiles_cover_a_side_and_end_with_it() -> None:
    for size in (8, 9, 17, 100):
        for overlap in (0.0, 0.5, 0.9):
            places = starts(size, 8, overlap)
            assert places[0] == 0
            assert places[-1] == size - 8
            assert all(b - a <= 8 * (1 - overlap) + 1 for a, b in pairwise(places))


def test_no_seam_is_seen_where_tiles_meet() -> None:
    """Each tile adds a slope, which jumps from tile to tile where they do not overlap."""

    class Sloped(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.linspace(-0.2, 0.2, x.shape[3])

    sloped = same(1, 32)
    sloped.network.features.add_module("slope", Sloped())
    flat = np.full((32, 192, 3), 128, np.uint8)
    found, _ = restored(sloped, flat, overlap=0.5, device=torch.device("cpu"))
    hard, _ = restored(sloped, flat, overlap=0.0, device=torch.device("cpu"))
    steps, jumps = (np.abs(np.diff(p[:, :, 0].astype(int), axis=1)).max() for p in (found, hard))
    assert jumps > 60
    assert steps < 8
    assert torch.allclose(hill(32), hill(32).flip(0))


def test_photos_of_ones_own_are_learned_and_restored(tmp_path: Path, capsys: Capture) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for n, size in enumerate(((40, 52), (33, 70), (90, 31))):
        pixels = pictures(1, 3, *size)[0].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(photos / f"{n}.png")
    (photos / "no.jpg").write_text("no picture")
    run = tmp_path / "run"
    few = ["--set", "preprocess.size=[16,16]", "--epochs", "1", "-q"]
    assert command(["train", "restore", str(photos), "--data", str(photos), "-o", str(run), *few]) == 2
    assert command(["train", "restore", str(photos), "-o", str(run), *few]) == 0
    facts = json.loads((run / "facts.json").read_text())
    assert facts["counts"]["train"] + facts["counts"]["val"] == 2 * 3 + 2 * 4 + 5
    assert [skipped["path"].rpartition("/")[2] for skipped in facts["skipped"]] == ["no.jpg"]
    assert neocog.evaluate(run).n == facts["counts"]["val"]
    capsys.readouterr()
    assert command(["restore", str(run), str(photos), "-o", str(tmp_path / "out"), "--json"]) == 3
    items = json.loads(capsys.readouterr().out)
    for n, size in enumerate(((40, 52), (33, 70), (90, 31))):
        assert items[n]["size"] == list(size)
        with Image.open(items[n]["out"]) as picture:
            assert picture.size == size[::-1]
    assert items[3]["error"]
    assert command(["restore", str(run), str(photos / "0.png"), "-o", str(tmp_path / "one.png")]) == 0
    assert "tiles" in capsys.readouterr().out


def test_a_restoration_is_proved(trained: Run, tmp_path: Path) -> None:
    """Its PSNR and SSIM are measured again; a figure that was changed, and sealed again, is found."""
    copy = Run(Path(shutil.copytree(trained.path, tmp_path / "copy")))
    (proof,) = neocog.prove(copy.path).proofs
    assert [link.name for link in proof.links][-2:] == ["answers", "nearness"]
    assert proof.verdict == "proved to the bit", proof.text()
    facts = copy.facts()
    for factor, verdict in ((1.001, "proved within its interval"), (1.1, "broken here")):
        result = {**facts["result"], "test_psnr": factor * facts["result"]["test_psnr"]}
        copy.write_facts({**facts, "result": result})
        assert neocog.prove(copy.path).proofs[0].verdict == verdict


def test_a_restoration_is_an_experiment_and_its_rows_are_made_again(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Restoring(recipe="m12-fresh", files="x", name="small", changes=tuple(QUICK))
    monkeypatch.setattr("neocog.figures.restoring.trained", lambda *args, **more: trained)
    asked = Asked(runs=tmp_path)
    loss, nearness = part.rows(asked)
    assert loss.ours == f"{trained.metrics()[-1]['loss']:.4f}"
    assert loss.what.startswith("small: training loss after ")
    assert f"{trained.facts()['result']['test_psnr']:.2f} dB" in nearness.ours
    for row in (loss, nearness):
        assert part.is_of(row)
        assert part.again(row, [trained], asked) == row
        assert row.detail["recipe_identity"] == part.identity
    assert {file.name for file in (tmp_path / "files").iterdir()} == {"x-restored.png", "x-curves.png"}


# --- chapter D's claims ------------------------------------------------------------------------------------


def test_clusters_and_their_purity() -> None:
    """Three heaps far apart are found whole; purity by hand."""
    corners = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    y = torch.arange(3).repeat(20)
    x = corners[y] + 0.1 * torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    assert max(purity(k_means(x, 3, seed), y) for seed in range(5)) == 1
    assert purity(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([2, 2, 0, 1, 0])) == pytest.approx(3 / 5)


def test_losses_are_the_same_within_a_hundredth() -> None:
    found = [loss_verdict(ours, 0.0777) for ours in (0.0774, 0.0784, 0.0790, 0.0700)]
    assert found == ["same", "same", "worse", "better"]
