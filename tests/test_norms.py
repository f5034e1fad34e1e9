"""Statistics of batch normalisations: kept, or taken anew of training pictures as they are."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from test_transfer import made, recipe, stop, train, weights
from torch import Tensor, nn

import neocog
from neocog.data.augment.augment import Augment
from neocog.errors import Interrupted
from neocog.model import open_trained
from neocog.optim.norms import retaken
from neocog.optim.settings import Optim
from neocog.recipes.recipe import Phase, Recipe, Stop
from neocog.runs.run import Run
from neocog.sealed import read
from neocog.zoo import Network
from neocog.zoo.modes import learning

RETAKEN = Phase(
    epochs=2,
    optim=Optim(kind="adam", lr=0.01),
    augment=Augment(rotation=40, brightness=0.5),
    statistics="retaken",
)


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return neocog.train(asked(), dataset=made(), out=tmp_path_factory.mktemp("retaken") / "run")


def asked(*phases: Phase, **rest: object) -> Recipe:
    return recipe(*(phases or (RETAKEN,)), **{"head": None, "stop": Stop(select="last"), **rest})


def norms(network: Network) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def passed(network: Network, batches: list[Tensor]) -> list[list[Tensor]]:
    """What goes into each normalisation, batch by batch, where all take the batch's own statistics."""
    network = copy.deepcopy(network).eval()
    seen: list[list[Tensor]] = [[] for _ in norms(network)]
    for module, inputs in zip(norms(network), seen, strict=True):
        module.train()
        module.register_forward_pre_hook(lambda _, x, inputs=inputs: inputs.append(x[0]))
    with torch.no_grad():
        for x in batches:
            network(x)
    return seen


def test_each_normalisation_has_the_mean_of_the_batches_statistics(lender: Run) -> None:
    network = open_trained(lender).network.train()
    before = copy.deepcopy(network.state_dict())
    batches = [torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in (7, 9, 5)]
    found = retaken(network, batches, taught=network, learner=lambda whole: whole)
    for norm, inputs in zip(norms(found), passed(network, batches), strict=True):
        means = torch.stack([x.mean((0, 2, 3)) for x in inputs])
        spreads = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in inputs])
        torch.testing.assert_close(norm.running_mean, means.mean(0))
        torch.testing.assert_close(norm.running_var, spreads.mean(0))
        assert norm.momentum == norms(network)[0].momentum
    assert not any(module.training for module in found.modules())
    assert all(module.training for module in network.modules())
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())


def test_a_batch_of_one_is_left_out() -> None:
    torch.manual_seed(0)
    network = Network({}, nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4)))
    x = torch.rand(9, 1, 8, 8)
    found, whole = (
        retaken(network, batches, taught=network, learner=lambda whole: whole).state_dict()
        for batches in ([x[:8], x[8:]], [x[:8]])
    )
    assert all(tensor.equal(whole[name]) for name, tensor in found.items())


def test_a_frozen_normalisation_is_left_alone(lender: Run) -> None:
    network = open_trained(lender).network
    learning(network, after="relu1")
    found = retaken(network, [torch.rand(8, 3, 16, 16)], taught=network, learner=lambda whole: whole)
    (first, second), (ours, theirs) = norms(found), norms(network)
    assert first.running_mean is not None
    assert second.running_mean is not None
    assert first.running_mean.equal(ours.running_mean)
    assert not second.running_mean.equal(theirs.running_mean)


def test_what_is_watched_and_shipped_has_them_of_pictures_as_they_are(lender: Run) -> None:
    shipped, state = weights(lender), read(lender.state_file)[0]
    moved = {name for name, tensor in shipped.items() if not tensor.equal(state[f"network/{name}"])}
    assert {name.split(".")[-1] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    trained = open_trained(lender)
    plain = trained.preprocess.normalise(made().train.x.float())  # all of them, which one batch takes
    for norm, (x,) in zip(norms(trained.network), passed(trained.network, [plain]), strict=True):
        torch.testing.assert_close(norm.running_mean, x.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            norm.running_var, x.transpose(0, 1).flatten(1).var(1), rtol=1e-4, atol=1e-4
        )
    last = lender.metrics()[-1]
    measured = neocog.evaluate(lender, split="val", dataset=made())
    assert (measured.loss, measured.accuracy) == pytest.approx((last["val_loss"], last["val_accuracy"]))


def test_the_training_itself_is_the_same(lender: Run, tmp_path: Path) -> None:
    batch = neocog.train(
        asked(RETAKEN.model_copy(update={"statistics": "batch"})), dataset=made(), out=tmp_path / "batch"
    )
    ours, theirs = (read(run.state_file)[0] for run in (lender, batch))
    learned = [name for name in ours if name.startswith(("network/", "optimizer/"))]
    assert learned
    assert all(ours[name].equal(theirs[name]) for name in learned)
    assert [line["loss"] for line in lender.metrics()] == [line["loss"] for line in batch.metrics()]
    assert [line["val_loss"] for line in lender.metrics()] != [line["val_loss"] for line in batch.metrics()]


def test_interrupted_anywhere_it_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neocog.training.loop.SOME", 20)  # of 48: which ones counts
    whole = neocog.train(asked(), dataset=made(), out=tmp_path / "whole")
    for after in (1, 2, 4):  # within an epoch, at its end, within the next
        path = tmp_path / f"cut{after}"
        with pytest.raises(Interrupted):
            neocog.train(asked(), dataset=made(), out=path, stop=stop(after))
        again = neocog.resume(path, dataset=made())
        assert all(tensor.equal(weights(again)[name]) for name, tensor in weights(whole).items())


def test_a_running_mean_of_weights_has_statistics_of_its_own(lender: Run, tmp_path: Path) -> None:
    """Under phases that free more and more: the mean was copied while its beginning was frozen."""
    freed = RETAKEN.model_copy(update={"epochs": 1})
    first = freed.model_copy(update={"freeze": "relu1", "augment": Augment()})
    run = train(tmp_path / "run", lender, asked(first, freed, average=0.9))
    trained = open_trained(run)
    plain = trained.preprocess.normalise(made().train.x.float())
    for norm, (x,) in zip(norms(trained.network), passed(trained.network, [plain]), strict=True):
        torch.testing.assert_close(norm.running_mean, x.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)


def test_kept_features_and_pictures_train_the_same(
    lender: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = RETAKEN.model_copy(update={"freeze": "relu1", "augment": Augment()})
    kept_run = train(tmp_path / "kept", lender, asked(frozen))
    monkeypatch.setattr("neocog.training.loop.why_not", lambda *given: "for comparison")
    plain = train(tmp_path / "plain", lender, asked(frozen))
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(kept_run)[name], tensor, rtol=1e-4, atol=1e-4)


def test_statistics_are_kept_where_nothing_is_frozen_too(lender: Run, tmp_path: Path) -> None:
    run = train(tmp_path / "run", lender, asked(RETAKEN.model_copy(update={"statistics": "kept"})))
    before, now = weights(lender), weights(run)
    stood = {name for name, tensor in now.items() if tensor.equal(before[name])}
    assert stood == {
        name for name in now if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
