"""Training in the mirror: against torch's loss and SGD, without torch, and to the chapter's figures."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_mirror import EVERY_KIND

from neocog.data import load
from neocog.data.batches import cuts as torch_cuts
from neocog.errors import CheckFailed, UsageError
from neocog.mirror.network import Network, build
from neocog.mirror.training import (
    Descent,
    Epoch,
    Settings,
    cuts,
    from_recipe,
    measure,
    softmax_cross_entropy,
    train,
)
from neocog.pictures.decode import Preprocess
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import Recipe, override
from neocog.zoo.chapters import ENTRIES
from neocog.zoo.first_weights import initialise
from neocog.zoo.layer_list import build as build_torch
from neocog.zoo.layer_list import parse

MIRROR = Path(__file__).parent.parent / "neocog" / "mirror"
RULES = ["sgd", "momentum", "nesterov"]
BARS = [
    {"kind": "conv", "filters": 4, "kernel": 3, "activation": "relu"},
    {"kind": "globalpool"},
    {"kind": "dense", "units": "classes", "activation": "softmax"},
]


def bars(n: int, seed: int = 0) -> tuple[Any, Any]:
    """Grey pictures 6x6 of one bright row (class 0) or column (class 1)."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 60, (n, 1, 6, 6)).astype(np.uint8), rng.integers(0, 2, n)
    for picture, label in zip(x, y, strict=True):
        np.moveaxis(picture[0], label, 0)[rng.integers(0, 6)] = 230
    return x, y


def network(seed: int = 0, **more: Any) -> Network:
    return build(BARS, shape=(1, 6, 6), classes=2, generator=np.random.default_rng(seed), **more)


def test_the_loss_is_torchs() -> None:
    rng = np.random.default_rng(0)
    logits, y = 30 * rng.normal(size=(7, 5)), rng.integers(0, 5, 7)
    loss, gradient = softmax_cross_entropy(logits, y)
    t = torch.from_numpy(logits).requires_grad_()
    wanted = torch.nn.functional.cross_entropy(t, torch.from_numpy(y))
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    assert t.grad is not None
    np.testing.assert_allclose(gradient, t.grad.numpy(), rtol=1e-10, atol=1e-15)


def test_the_loss_of_even_logits_is_the_logarithm_of_the_classes() -> None:
    loss, gradient = softmax_cross_entropy(np.full((4, 5), 1e4), np.arange(4))
    assert loss == pytest.approx(math.log(5))
    assert gradient[0].tolist() == pytest.approx([-0.2, 0.05, 0.05, 0.05, 0.05])


@pytest.mark.parametrize(("rule", "clip"), [*((rule, 0.0) for rule in RULES), ("momentum", 0.5)])
@pytest.mark.parametrize("name", ["g1", "m10"])
def test_descent_is_torchs(name: str, rule: Any, clip: float) -> None:
    """Thirty steps of a chapter's network under both engines, from the same weights, on the same batches."""
    entry = ENTRIES[name]
    rng = np.random.default_rng(0)
    ours = build(list(entry.layers), shape=entry.shape, classes=entry.classes, generator=rng)
    theirs = build_torch(parse(list(entry.layers)), shape=entry.shape, classes=entry.classes).double()
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.copied_weights().items()})
    descent = Descent(rule, lr=0.02, momentum=0.9, clip=clip)
    momentum = 0.0 if rule == "sgd" else 0.9
    sgd = torch.optim.SGD(theirs.parameters(), 0.02, momentum=momentum, nesterov=rule == "nesterov")
    begun = ours.copied_weights()
    clipped = 0
    for _ in range(30):
        x, y = rng.random((8, *entry.shape)), rng.integers(0, entry.classes, 8)
        loss, gradient = softmax_cross_entropy(ours.forward(x, "training"), y)
        ours.backward(gradient)
        descent.step(ours)
        wanted = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y))
        sgd.zero_grad()
        wanted.backward()
        if clip:
            clipped += float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip)) > clip
        sgd.step()
        assert loss == pytest.approx(wanted.item(), rel=1e-8)
    assert (clipped > 0) == (clip > 0)
    state = theirs.state_dict()
    for key, array in ours.weights().items():
        np.testing.assert_allclose(array, state[key].numpy(), rtol=1e-6, atol=1e-9, err_msg=key)
    assert not np.allclose(begun["features.conv1.weight"], ours.weights()["features.conv1.weight"])


@pytest.mark.parametrize("how", ["glorot", "he", "uniform", "torch", "opposed"])
def test_first_weights_have_the_torch_engines_distribution(how: Any) -> None:
    layers = [{"kind": "conv", "filters": 64, "kernel": 5, "groups": 2}, {"kind": "dense", "units": 50}]
    ours = build(layers, shape=(32, 6, 6), classes=0, generator=np.random.default_rng(0), init=how)
    torch.manual_seed(0)
    theirs = build_torch(parse(layers), shape=(32, 6, 6), classes=0)
    initialise(theirs, how, torch.Generator().manual_seed(0))
    for name, tensor in theirs.state_dict().items():
        a, b = ours.weights()[name], tensor.double().numpy()
        if a.size > 100:
            assert a.std() == pytest.approx(b.std(), rel=0.02), name
            assert abs(a).max() == pytest.approx(abs(b).max(), rel=0.02 if how != "he" else 0.3), name
        else:
            assert (a == 0).all() == (b == 0).all(), name


@pytest.mark.parametrize("scale", ["raw", "unit", "128", "one", "channels"])
def test_scaling_is_preprocess(scale: Any) -> None:
    x = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    preprocess = Preprocess(scale=scale).resolved(x)
    assert preprocess.mean is not None
    assert preprocess.std is not None
    ours = Settings(mean=preprocess.mean, std=preprocess.std).scaled(x.numpy())
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, preprocess.normalise(x).numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 16, 17, 33, 40])
def test_batches_are_cut_as_the_torch_engine_cuts_them(n: int) -> None:
    assert cuts(n, 16) == torch_cuts(n, 16)


def test_training_learns_and_is_the_same_each_time() -> None:
    settings = Settings(epochs=8, batch=16, rule="momentum", lr=0.1)
    results = []
    for _ in range(2):
        learner = network(dtype=np.float32)
        before = measure(learner, *bars(200, seed=1), settings).accuracy
        epochs = list(train(learner, *bars(400), settings))
        results.append((learner.copied_weights(), [e.loss for e in epochs]))
    assert before < 0.75
    assert measure(learner, *bars(200, seed=1), settings).accuracy > 0.95
    assert results[0][1] == results[1][1]
    assert all((results[0][0][name] == results[1][0][name]).all() for name in results[0][0])
    assert {a.dtype for a in learner.weights().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_kept_epoch(select: Any) -> None:
    held_out = bars(60, seed=2)
    settings = Settings(epochs=6, batch=8, lr=1.0, select=select)
    learner = network(3)
    epochs: list[Epoch] = list(train(learner, *bars(60), settings, held_out=held_out))
    watched = [e.held_out for e in epochs if e.held_out is not None]
    assert len(watched) == 6
    assert max(watched) > watched[-1], "this example needs a last epoch that is not the best"
    wanted = max(watched) if select == "best" else watched[-1]
    assert measure(learner, *held_out, settings).accuracy == wanted


def test_of_equally_accurate_epochs_the_one_with_the_lowest_loss_is_kept() -> None:
    held_out = bars(60, seed=2)
    settings = Settings(epochs=12, batch=8, rule="momentum", lr=0.1)
    learner = network(0)
    epochs = train(learner, *bars(200), settings, held_out=held_out)
    seen = [measure(learner, *held_out, settings) for _ in epochs]
    highest = max(m.accuracy for m in seen)
    losses = [m.loss for m in seen if m.accuracy == highest]
    assert len(losses) > 2
    assert measure(learner, *held_out, settings).loss == min(losses) < max(losses)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    dense = [{"kind": "flatten"}, {"kind": "dense", "units": "classes"}]
    learner = build(dense, shape=(1, 6, 6), classes=2, generator=np.random.default_rng(0))
    with np.errstate(all="ignore"), pytest.raises(CheckFailed, match=r"1e\+308; try a lower rate"):
        list(train(learner, *bars(64), Settings(batch=8, lr=1e308)))


def test_settings_from_recipes() -> None:
    g2 = from_recipe(RECIPES["g2"].json())
    assert (g2.epochs, g2.batch, g2.rule, g2.lr, g2.select) == (50, 16, "sgd", 0.1, "best")
    m10 = from_recipe(RECIPES["m10"].json())
    assert (m10.rule, m10.momentum, m10.batch) == ("momentum", 0.9, 128)
    assert from_recipe(RECIPES["m2"].json()).std == (1 / 255,)
    defaults = Recipe(data=RECIPES["g1"].data, model=RECIPES["g1"].model).json()
    with pytest.raises(UsageError, match="under adam"):
        from_recipe(defaults)
    plain = from_recipe({**defaults, "phases": [{"optim": {"kind": "sgd"}}]})
    assert plain == Settings(), "what a recipe leaves out means the same here"
    assert Recipe(data=RECIPES["g1"].data, model=RECIPES["g1"].model).batch == plain.batch


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("optim.schedule=cosine", "the optim's 'schedule'"),
        ("augment.rotation=10", "the phase's 'augment'"),
        ("label_smoothing=0.1", "the recipe's 'label_smoothing'"),
        ("stop.patience=3", "the stop's 'patience'"),
        ("optim.kind=adam", "under adam; use the torch engine"),
        ("preprocess.order=bgr", "the preprocess's 'order'"),
        ("data.limit=100", None),
    ],
)
def test_recipes_that_the_mirror_cannot_follow(change: str, says: str | None) -> None:
    document = override(RECIPES["g1"], [change]).json()
    if says is None:
        assert from_recipe(document) == from_recipe(RECIPES["g1"].json())
        return
    with pytest.raises(UsageError, match=says):
        from_recipe(document)


def test_a_scale_that_depends_on_the_pictures_needs_their_numbers() -> None:
    document = override(RECIPES["g1"], ["preprocess.scale=one"]).json()
    with pytest.raises(UsageError, match="give their mean and std"):
        from_recipe(document)
    assert from_recipe(document, mean=(0.2,), std=(0.3,)).mean == (0.2,)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import of torch raises
import numpy as np
from neocog.mirror.network import build
from neocog.mirror.training import Settings, from_recipe, measure, train
every = {every!r}
rng = np.random.default_rng(0)
x, y = rng.integers(0, 256, (12, 2, 9, 8), np.uint8), rng.integers(0, 3, 12)
network = build(every, shape=(2, 9, 8), classes=3, generator=rng)
settings = Settings(epochs=2, batch=4, rule="momentum")
epochs = list(train(network, x, y, settings, held_out=(x, y)))
assert len(epochs) == 2 and 0 <= measure(network, x, y, settings).accuracy <= 1
assert not [name for name in sys.modules if name.startswith("torch") and sys.modules[name]]
print("trained")
"""


def test_a_network_of_every_kind_trains_without_torch() -> None:
    script = WITHOUT_TORCH.format(every=EVERY_KIND)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "trained\n", done.stderr


def test_no_file_of_the_mirror_names_torch_in_an_import() -> None:
    for path in MIRROR.glob("*.py"):
        assert "import torch" not in path.read_text()
        assert "from torch" not in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["g1", "g2"])
def test_the_mirror_reaches_the_chapters_figure(name: str) -> None:
    """The whole recipe in NumPy: the kept epoch's test accuracy is at least the published one."""
    recipe, entry = RECIPES[name], ENTRIES[name]
    data = load(recipe.data)
    assert data.val is not None
    assert data.test is not None
    settings = from_recipe(recipe.json())
    rng = np.random.default_rng(settings.seed)
    learner = build(
        list(entry.layers),
        shape=data.shape,
        classes=len(data.classes),
        generator=rng,
        dtype=np.float32,
        init=recipe.model.init or "glorot",
    )
    held_out = (data.val.x.numpy(), data.val.y.numpy())
    epochs = list(train(learner, data.train.x.numpy(), data.train.y.numpy(), settings, held_out=held_out))
    assert len(epochs) == recipe.epochs
    assert recipe.expect is not None
    reached = measure(learner, data.test.x.numpy(), data.test.y.numpy(), settings).accuracy
    print(f"{name}: {reached:.1%} in {sum(e.seconds for e in epochs):.0f} s")
    assert reached >= recipe.expect
