"""restore on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import DEVICE, WHAT, Option

COMMAND = Command(
    about="Restore damaged photos of any size with a network that was trained to.",
    example="neocog restore runs/restore old.jpg -o restored.png; "
    "neocog restore runs/restore album/ -o restored/",
    options={
        "what": WHAT,
        "images": Option(metavar="IMAGES...", help="Damaged pictures: files, folders or globs."),
        "out": Option(kind="path", short="-o", help="The PNG of one picture, or a folder for several."),
        "overlap": Option(kind="float", help="Share of a tile that the next one sees too (default: 0.5)."),
        "device": DEVICE,
    },
)
