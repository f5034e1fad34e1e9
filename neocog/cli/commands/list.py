"""list on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import CHOICE, Option

COMMAND = Command(
    about="What there is: networks of the zoo, data sets, recipes, runs.",
    example="neocog list models --sort -top1 --where 'parameters<5e6'",
    options={
        "what": CHOICE,
        "sort": Option(help="A column; -COLUMN for the largest first."),
        "where": Option(help="For example parameters<5e6."),
    },
)
