"""Dropout from raw random bits: what it keeps, in the mean and bit by bit; which runs have it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import neocog
from neocog import sealed
from neocog.runs.run import Run
from neocog.training import order
from neocog.training.dropout import STEPS, Dropout, mask, masks_of_bits
from neocog.world import find

KINDS = (torch.float32, torch.bfloat16, torch.float64)


def drawn(p: float, shape: tuple[int, ...], kind: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(p)(torch.ones(shape, dtype=kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.73])
def test_the_share_and_the_factor(p: float, kind: torch.dtype) -> None:
    n = 400_000
    out = drawn(p, (n,), kind).double()
    factor = torch.tensor(1 / (1 - p), dtype=torch.float64)
    assert set(out.unique().tolist()) == {0.0, float(out.max())}
    assert float(out.max()) == pytest.approx(float(factor), rel=2**-8 if kind == torch.bfloat16 else 2e-5)
    five_sigma = 5 * (p * (1 - p) / n) ** 0.5
    assert abs(float((out == 0).double().mean()) - p) < five_sigma + 1 / STEPS


def test_each_of_the_four_numbers_of_a_word_is_dropped_alike() -> None:
    """A word with its highest bit always 0 would never drop every fourth number of a rate below a half."""
    lanes = (drawn(0.3, (4 * 100_000,)) == 0).double().view(-1, 4).mean(0)
    assert (lanes - 0.3).abs().max() < 5 * (0.21 / 100_000) ** 0.5
    pairs = (drawn(0.3, (100_000, 4)) == 0).double()
    together = pairs.T @ pairs / len(pairs)
    assert (together[~torch.eye(4, dtype=torch.bool)] - 0.09).abs().max() < 0.005, "they are independent"


def test_seeds_shapes_and_layouts() -> None:
    assert torch.equal(drawn(0.5, (33,)), drawn(0.5, (33,)))
    assert not torch.equal(drawn(0.5, (33,)), drawn(0.5, (33,), seed=1))
    x = torch.randn(3, 5, 7, 2).contiguous(memory_format=torch.channels_last)
    found = mask(x, STEPS // 4)
    assert found.shape == x.shape
    assert found.stride() == x.stride()
    assert mask(torch.randn(1, 6).expand(4, 6), STEPS // 4).shape == (4, 6)
    assert mask(torch.empty(0, 3), STEPS // 4).shape == (0, 3)


def test_the_gradient_passes_where_the_number_did() -> None:
    x = torch.full((64, 9), 2.0, requires_grad=True)
    out = Dropout(0.4)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach() / 2)


def test_the_ends_and_evaluation() -> None:
    x = torch.randn(50)
    assert torch.equal(Dropout(0.3).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(50))


def test_it_takes_the_place_of_torchs_under_the_same_name() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.25)), nn.Dropout2d(0.1))
    said = repr(network)
    masks_of_bits(network)
    assert type(network[1][0]) is Dropout
    assert type(network[2]) is nn.Dropout2d
    assert repr(network) == said


NET = [
    {"kind": "flatten"},
    {"kind": "dense", "units": 8, "activation": "relu"},
    {"kind": "dropout", "rate": 0.4},
    {"kind": "dense", "units": "classes"},
]


def weights(run: Run) -> dict[str, torch.Tensor]:
    return sealed.read(run.state_file)[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_run_goes_on_with_the_masks_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of before have no such fact, and torch's masks."""
    (tmp_path / "net.json").write_text(json.dumps(NET))
    changes = ["epochs=2", "data.limit=128", "batch=64", "precision=float32", "probes=off"]

    def trained(name: str) -> tuple[Run, Run]:
        """A run, and one that is stopped after two of its four steps."""
        given = {"model": tmp_path / "net.json", "changes": changes}
        whole = neocog.train("digits", **given, out=tmp_path / name)
        steps = iter([False, True])
        with pytest.raises(neocog.NeocogError, match="interrupted"):
            neocog.train("digits", **given, out=tmp_path / f"{name}-cut", stop=lambda: next(steps))
        return whole, Run(tmp_path / f"{name}-cut")

    now, cut_now = trained("now")
    with monkeypatch.context() as then:
        then.setattr(order, "find", functools.partial(find, masks="torch"))
        before, cut_before = trained("before")
    assert now.facts()["masks"] == "bits"
    facts = cut_before.facts()
    assert facts.pop("masks") == "torch"
    cut_before.write_facts(facts)
    for whole, cut in ((now, cut_now), (before, cut_before)):
        neocog.resume(cut.path)
        assert same(weights(cut), weights(whole))
        assert not any("not the machine" in remark for remark in cut.facts()["remarks"])
    assert not same(weights(now), weights(before))
