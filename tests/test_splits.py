"""Dividing and drawing: the same numbers as ever, by formulas written anew; own splits, shares, limits."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from neocog.data import Data, load
from neocog.data.splits import counted, divided, hold_out, numbered, sample

WHOLE = 2**64
SEEDS = [4260358641028961620, 4298301302220937316, 8341345191367816500]
FINGERPRINTS = {
    "name=digits": "7cc2c780727ebdc0",
    "name=digits held_out=0.15 seed=3": "59a0984928328b03",
    "name=digits limit=100": "b16047356e8c7674",
    "name=digits val=test limit=50": "2fef74acfaa3fa1a",
}
"""Computed with the version before there was one divider and one SplitMix64."""


def finaliser(z: int) -> int:
    """SplitMix64's, in Python's integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WHOLE
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WHOLE
    return z ^ (z >> 31)


def sequence(place: int) -> int:
    """Output number `place` (from 1) of SplitMix64 seeded with 0."""
    return finaliser(place * 0x9E3779B97F4A7C15 % WHOLE)


def test_the_reference_is_splitmix64():
    """The first outputs from seed 0 that its published C code gives (Vigna, splitmix64.c)."""
    assert [sequence(k) for k in (1, 2, 3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("counters", [(0,), (0, 0, 0), (1, 2, 3), (7, 1, 12, 345), (2**31 - 1, 3)])
def test_counted_seeds_are_those_of_the_formula(counters):
    state = 0x9E3779B97F4A7C15
    for counter in counters:
        state = finaliser((state + counter * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % WHOLE)
    assert counted(*counters) == state % 2**63


def test_seeds_of_the_first_version_are_drawn_still():
    assert [counted(0), counted(1, 2, 3), counted(2**31 - 1, 3)] == SEEDS


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_rows_held_out_are_those_with_the_lowest_draws(seed):
    n = 101
    draws = [sequence((row + sequence(seed)) % WHOLE) for row in range(n)]
    lowest = sorted(range(n), key=draws.__getitem__)
    y = torch.zeros(n, dtype=torch.int64)
    assert hold_out(y, 0.2, seed)[1].tolist() == sorted(lowest[:20])
    assert sample(y, 33, seed).tolist() == sorted(lowest[:33])


def test_rows_with_keys_are_held_out_below_the_threshold_of_their_hash():
    keys = [f"file {k}" for k in range(200)]
    y = torch.arange(200) % 4
    rows, labels = numbered({"train": y})
    found, _ = divided(rows, labels, Data(name="folder", held_out=0.25, seed=9), keys)

    def below(row: int, salt: str, share: float) -> bool:
        digest = hashlib.blake2b(f"9|{salt} {keys[row]}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") < share * WHOLE

    test = [row for row in range(200) if below(row, "test", 0.2)]
    val = [row for row in range(200) if row not in test and below(row, "val", 0.25)]
    assert found["test"].tolist() == test
    assert found["val"].tolist() == val
    assert sorted(torch.cat(list(found.values())).tolist()) == list(range(200))


def test_a_limit_is_drawn_from_what_is_left_by_place_or_by_key():
    y = torch.zeros(60, dtype=torch.int64)
    rows, labels = numbered({"train": y[:50], "test": y[50:]})
    data = Data(name="folder", held_out=0.1, limit=7, seed=2)
    by_place, remarks = divided(rows, labels, data)
    kept, held = hold_out(y[:50], 0.1, 2)
    assert by_place["val"].tolist() == held.tolist()
    assert by_place["test"].tolist() == list(range(50, 60))
    assert by_place["train"].tolist() == kept[sample(y[kept], 7, 2)].tolist()
    assert remarks == ["5 of 50 training pictures are held out as val", "7 of 45 training pictures are used"]
    keys = [f"{k}" for k in range(60)]
    by_key, _ = divided(rows, labels, data, keys)

    def draw(row: int) -> int:
        return int.from_bytes(hashlib.blake2b(f"2|{keys[row]}".encode(), digest_size=8).digest(), "little")

    left = sorted(set(range(50)) - set(by_key["val"].tolist()), key=draw)
    assert by_key["train"].tolist() == sorted(left[:7])


def test_own_splits_are_taken_as_they_are():
    y = torch.arange(30) % 3
    rows, labels = numbered({"train": y[:18], "val": y[18:24], "test": y[24:]})
    found, remarks = divided(rows, labels, Data(name="folder"), [str(k) for k in range(30)])
    assert [len(found[name]) for name in ("train", "val", "test")] == [18, 6, 6]
    assert not remarks
    watched, remarks = divided(rows, labels, Data(name="folder", val="test"))
    assert not len(watched["val"])
    assert "is not used" in remarks[0]
    rows, labels = numbered({"train": y[:18], "val": y[18:]})
    tested, remarks = divided(rows, labels, Data(name="folder", held_out=0.5), [str(k) for k in range(30)])
    assert tested["test"].tolist() == list(range(18, 30))
    assert len(tested["val"])
    assert "never selected" in remarks[0]


@pytest.mark.parametrize("divide", ["as given", "all as test"])
def test_nothing_is_held_out_where_that_is_asked(divide):
    rows, labels = numbered({"train": torch.arange(12) % 3})
    found, _ = divided(rows, labels, Data(name="folder"), [str(k) for k in range(12)], divide)
    whole = "train" if divide == "as given" else "test"
    assert found[whole].tolist() == list(range(12))
    assert sum(map(len, found.values())) == 12


@pytest.mark.parametrize(("data", "fingerprint"), FINGERPRINTS.items(), ids=str)
def test_built_in_sets_are_divided_as_by_the_first_version(data, fingerprint):
    settings = dict(pair.split("=") for pair in data.split(" "))
    assert load(Data.model_validate(settings)).fingerprint.startswith(fingerprint)


def test_counted_takes_numbers_beyond_64_bits():
    assert counted(2**64 + 5) == counted(5)
    assert 0 <= counted(-1) < 2**63
    assert len({counted(k) for k in np.arange(1000).tolist()}) == 1000


TRAIN, VAL, TEST = torch.arange(40), torch.arange(40, 50), torch.arange(50, 55)
NONE = torch.empty(0, dtype=torch.int64)


@pytest.mark.parametrize(
    ("rows", "fields", "divide", "sizes", "remarks"),
    [
        ((TRAIN, VAL, TEST), {}, "as trained", (40, 10, 5), []),
        (
            (TRAIN, VAL, NONE),
            {},
            "as trained",
            (36, 4, 10),
            [
                "val is what is tested, since there is no test; it is never selected by",
                "4 of 40 training pictures are held out as val",
            ],
        ),
        (
            (TRAIN, NONE, NONE),
            {},
            "as trained",
            (29, 3, 8),
            [
                "8 of 40 pictures are the test set, about a fifth of each class, chosen by a hash of the "
                "file",
                "3 of 32 training pictures are held out as val",
            ],
        ),
        (
            (TRAIN, VAL, TEST),
            {"val": "none"},
            "as trained",
            (40, 0, 5),
            ["the folder's val is not used: what is watched is 'none'"],
        ),
        ((TRAIN, NONE, TEST), {"held_out": 0.0}, "as trained", (40, 0, 5), []),
        ((TRAIN, VAL, TEST), {"limit": 40}, "as trained", (40, 10, 5), []),
        (
            (TRAIN, VAL, TEST),
            {"limit": 39},
            "as trained",
            (39, 10, 5),
            ["39 of 40 training pictures are used"],
        ),
        ((TRAIN, NONE, NONE), {}, "as given", (40, 0, 0), []),
        (
            (TRAIN, NONE, NONE),
            {},
            "all as test",
            (0, 0, 40),
            ["all 40 pictures are tested: the data say no test of their own"],
        ),
    ],
)
def test_what_is_said_of_a_division(rows, fields, divide, sizes, remarks):
    own = dict(zip(("train", "val", "test"), rows, strict=True))
    found, said = divided(own, torch.arange(55) % 2, Data(name="folder", **fields), divide=divide)
    assert (tuple(map(len, found.values())), said) == (sizes, remarks)
    taken = torch.cat(list(found.values()))
    assert len(set(taken.tolist())) == len(taken), "no picture stands in two splits"


def test_one_picture_of_a_class_is_kept_where_every_hash_lies_below_the_share() -> None:
    y = torch.zeros(20, dtype=torch.long)
    kept, held = hold_out(y, 0.9999, seed=0, keys=[f"{i}.jpg" for i in range(20)])
    assert (len(kept), len(held)) == (1, 19)
