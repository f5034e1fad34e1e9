"""weights on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import Option, saved

COMMAND = Command(
    about="Public weights with licence and accuracy; what a weights file is; files of other libraries both"
    " ways.",
    example="neocog weights; neocog weights --file vgg16.h5 -o vgg16.safetensors; "
    "neocog weights runs/mnist -o net.keras",
    options={
        "what": Option(help="A network's name, a run or a model file."),
        "file": Option(help="Say what this weights file is, and check it."),
        "out": saved("Write .safetensors; for layer lists .h5, .keras or .json of Keras too.", short="-o"),
    },
)
