"""study on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import ACCEPTED, DEVICE, Option, saved

COMMAND = Command(
    about="What borrowed eyes tell of your pictures: labels that are likely wrong, the likeliest first.",
    example="neocog study labels photos/ -o suspects.csv",
    options={
        "which": Option(help=f"{ACCEPTED}."),
        "photos": Option(help="A folder of pictures."),
        "start": Option(flag="--from", kind="text", help="Whose eyes: a network, a run or a file."),
        "out": saved("Write .csv, or the first 60 as .png.", short="-o"),
        "device": DEVICE,
    },
)
