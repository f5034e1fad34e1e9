"""look on the command line: an augmentation is given field by field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neocog.cli.command import Command, Given
from neocog.cli.options import CHOICE, Option, saved
from neocog.cli.values import side_or_sides


def call(verb: Callable[..., Any], given: Given) -> Any:
    """`look`, with the Augment that --augment FIELD=VALUE describes, and the changes of --set."""
    from neocog.data.augment.augment import augmentation

    own = dict(given.own)
    if "augment" in own:
        own["augment"] = augmentation(own["augment"])
    return verb(**own, changes=given.more.get("set", ()))


COMMAND = Command(
    about="Say what was understood of a data set: layout, classes, counts, sizes, files skipped and why.",
    example="neocog look photos/ --by-class -o classes.png",
    options={
        "what": Option(help="A data set's name or a folder of pictures.", metavar="DATA"),
        "out": saved("Write the sample grid as PNG.", short="-o"),
        "size": Option(kind="text", parse=side_or_sides, help="HEIGHTxWIDTH that the network will see."),
        "view": Option(
            flag="--by-class", kind="switch", sets="by-class", help="A few pictures of each class."
        ),
        "index": Option(help="One picture with its value scale."),
        "augment": Option(
            kind="texts", help="FIELD=VALUE, e.g. rotation=30: that picture and three variants of it."
        ),
        "split": CHOICE,
        "set": Option(
            kind="texts",
            help="FIELD=VALUE of how the data are divided, e.g. held_out=0.2, limit=500.",
        ),
        "seed": Option(kind="int", least=0, help="Draws another sample, and other variants."),
    },
    python_only=frozenset({"changes"}),
    call=call,
)
