"""doctor on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import Option, saved

COMMAND = Command(
    about="What keeps a network from learning: what was found in a training, and what mends it.",
    example="neocog doctor runs/mnist",
    options={
        "what": Option(help="A run's folder; its training may be under way.", metavar="RUN"),
        "out": saved("Write the findings as JSON.", short="-o"),
    },
)
