"""summary on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import WEIGHTS, Option, saved
from neocog.cli.values import sides_and_channels

COMMAND = Command(
    about="Layers, sizes, parameters, multiply-accumulates, receptive fields; and why a network cannot be.",
    example="neocog summary vgg16; neocog summary net.json --input 32x32x3 -o net.png",
    options={
        "model": Option(help="A network of the zoo, net.json, a run or a model file."),
        "input": Option(
            kind="text",
            parse=sides_and_channels,
            help="HEIGHTxWIDTHxCHANNELS (default: the network's own).",
        ),
        "classes": Option(help="Number of classes (default: the network's own)."),
        "picture": saved("Draw the network as PNG.", short="-o"),
        "as_list": saved("Write it as a layer list in JSON, to edit and train.", method="save_list"),
        "weights": WEIGHTS,
    },
)
