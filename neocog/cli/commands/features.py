"""features on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import DEVICE, IMAGES, WEIGHTS, WHAT, Option, saved

COMMAND = Command(
    about="Any layer's output for pictures.",
    example="neocog features vgg16 cat.jpg --layer block4_pool -o f.npz",
    options={
        "what": WHAT,
        "images": IMAGES,
        "layer": Option(help="Its name or number in neocog summary, or Keras' name."),
        "out": saved("Write .npz or .csv.", short="-o"),
        "weights": WEIGHTS,
        "device": DEVICE,
    },
    remarks=lambda result, given: result.remarks,
)
