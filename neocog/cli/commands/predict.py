"""predict on the command line: answers as JSON lines or CSV too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neocog.cli.command import Command, Given
from neocog.cli.options import ACCEPTED, CHOICE, DATA, DEVICE, IMAGES, PRECISION, WEIGHTS, WHAT, Option, saved
from neocog.cli.values import numbers


def text(result: Any, given: Given) -> str:
    """As --format says."""
    words: str = {"text": result.text, "jsonl": result.jsonl, "csv": result.csv}[given.more["format"]]()
    return words


def remarks(result: Any, given: Given) -> Iterable[str]:
    """What was left out of folders, and what a picture that was written does not show."""
    yield from result.remarks
    if "picture" in given.files and result.limit:
        yield result.limit


COMMAND = Command(
    about="Name pictures of any size. A file that cannot be read does not stop the rest (exit 3 at the end).",
    example="neocog predict runs/mnist seven.png photos/ '*.jpg'",
    options={
        "what": WHAT,
        "images": IMAGES,
        "top": Option(help="How many classes to name."),
        "split": CHOICE,
        "index": Option(kind="text", parse=numbers, help="With --split: numbers of its pictures, e.g. 0,17."),
        "data": DATA,
        "picture": saved("Show the first 20 answers with their probabilities, as PNG."),
        "spectrum": saved("Plot the probabilities of all classes, as PNG.", method="spectrum"),
        "weights": WEIGHTS,
        "polarity": Option(
            flag="--negative",
            kind="switch",
            sets="negative",
            help="Turn light into dark first (digits on white paper).",
        ),
        "changes": Option(
            flag="--set",
            kind="texts",
            help="FIELD=VALUE of how pictures are decoded, e.g. ground=0, levels=[0,4095].",
        ),
        "format": Option(kind="text", accepts=("text", "jsonl", "csv"), default="text", help=f"{ACCEPTED}."),
        "device": DEVICE,
        "precision": PRECISION,
    },
    text=text,
    remarks=remarks,
)
