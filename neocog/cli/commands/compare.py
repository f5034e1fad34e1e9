"""compare on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import DEVICE, Option, saved

COMMAND = Command(
    about="Runs beside one another: which is better on the same pictures, and what their recipes differ in.",
    example="neocog compare runs/digits runs/digits-2 -o curves.png",
    options={
        "runs": Option(help="Folders of finished runs; those that differ in the seed alone are a group."),
        "out": saved("Write the curves over one another as PNG.", short="-o"),
        "device": DEVICE,
    },
)
