"""study on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neocog.cli.command import Command, Given
from neocog.cli.options import ACCEPTED, DEVICE, Option, saved
from neocog.cli.values import listed
from neocog.errors import UsageError


def counts(text: str) -> tuple[int, ...]:
    """'300,600' -> (300, 600)."""
    parts = listed(text)
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"'{text}' is no list of numbers; write for example 300,600,1200")
    return tuple(int(part) for part in parts)


def call(verb: Callable[..., Any], given: Given) -> Any:
    """A line an epoch on stderr, where anything is trained, unless it is to be quiet."""
    from neocog.training.watchers import Console

    return verb(**given.own, watchers=() if given.quiet else [lambda run: Console()])


COMMAND = Command(
    about="Labels that are likely wrong; what borrowed eyes bring; how accuracy grows; accuracy in folds.",
    example="neocog study labels photos/ -o suspects.csv; neocog study transfer photos/; "
    "neocog study folds photos/ --folds 5; "
    "neocog study data-size mnist --models m9,m1 --sizes 300,600,1800 -o curves.png",
    options={
        "which": Option(help=f"{ACCEPTED}."),
        "photos": Option(help="A folder of pictures; for data-size a data set or a recipe too."),
        "start": Option(flag="--from", kind="text", help="Whose eyes: a network, a run or a file."),
        "tune": Option(help="The stage after which all is freed (of transfer by default half of it)."),
        "models": Option(kind="text", parse=listed, help="Of data-size: networks or recipes, NAME,NAME."),
        "sizes": Option(kind="text", parse=counts, help="Of data-size: training pictures, N,N,N."),
        "seeds": Option(least=1, help="Of data-size: how many samples of each size."),
        "folds": Option(least=2, help="Of folds: how many trainings, each without its share (default 5)."),
        "changes": Option(flag="--set", kind="texts", help="Of what is trained: FIELD=VALUE of the recipes."),
        "runs": Option(kind="text", help="Of data-size: where trainings are kept (default: runs/data-size)."),
        "out": saved("Write .csv, or .png (of labels the first 60).", short="-o"),
        "device": DEVICE,
    },
    call=call,
)
