"""explain on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import CHOICE, DATA, DEVICE, IMAGES, WEIGHTS, WHAT, Option, saved
from neocog.cli.values import numbers

COMMAND = Command(
    about="Open a network: what its filters and maps are, and why it answers as it does.",
    example="neocog explain runs/mnist seven.png --how gradcam -o why.png",
    options={
        "what": WHAT,
        "images": IMAGES,
        "how": Option(help="The method; docs/inside.md lists them."),
        "layer": Option(help="Its name or number in neocog summary (default: chosen, and said)."),
        "of": Option(flag="--class", help="The class, by name or number (default: the network's answer)."),
        "against": Option(help="Why that class rather than this one."),
        "channel": Option(least=0, help="Of the layer."),
        "at": Option(
            kind="text",
            parse=numbers,
            help="ROW,COL in what the layer puts out; of --backward in the kernel.",
        ),
        "first": Option(least=1, help="How many filters or maps to show."),
        "levels": Option(help="What black and white stand for: {accepted}."),
        "check": Option(
            flag="--verdict",
            kind="switch",
            sets="verdict",
            help="Put class maps to the test: use, careful or ignore.",
        ),
        "step": Option(
            flag="--backward", kind="switch", sets="backward", help="The arithmetic of a step of learning."
        ),
        "split": CHOICE,
        "index": Option(kind="text", parse=numbers, help="Numbers of the split's pictures, e.g. 0,17."),
        "only": Option(help="Of the data set: one kind of picture (rectangle), or a word in file names."),
        "data": DATA,
        "out": saved("Write .png, .npz or .txt.", short="-o"),
        "weights": WEIGHTS,
        "device": DEVICE,
    },
)
