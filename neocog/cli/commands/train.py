"""train on the command line: usual changes of a recipe have options of their own, --resume goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neocog.cli.command import Command, Given
from neocog.cli.options import ACCEPTED, DATA, DEVICE, PRECISION, Option
from neocog.cli.values import listed, side_or_sides
from neocog.errors import UsageError

FIELDS = {"batch_size": "batch", "lr": "optim.lr", "precision": "precision", "seed": "seed"}
"""Options -> the fields of the recipe that they change."""


def call(verb: Callable[..., Any], given: Given) -> Any:
    """`train`, with --resume `resume`, with --dry-run `forecast`; a line an epoch on stderr unless quiet."""
    from neocog.training.watchers import Console, TensorBoard
    from neocog.verbs.train import forecast, resume

    more = dict(given.more)
    changes = [f"{field}={more[name]}" for name, field in FIELDS.items() if name in more]
    if "size" in more:
        changes.append(f"preprocess.size={list(more['size'])}")
    watchers: list[Callable[..., Any]] = [] if given.quiet else [lambda run: Console()]
    watchers += [TensorBoard] if "tensorboard" in more else []
    own = {**given.own, "watchers": watchers}
    if "resume" in more:
        engine = own.pop("engine", "torch")
        if {"what", "model", "start", "tune", "out"} & set(own) or engine != "torch" or "dry_run" in more:
            raise UsageError(
                "--resume goes on with a run as it was started: give it without WHAT, --model, --from, "
                "--tune, --engine, --out and --dry-run"
            )
        return resume(
            more["resume"], epochs=more.get("epochs"), changes=[*changes, *more.get("set", ())], **own
        )
    if "what" not in own:
        raise UsageError(
            "say what to train: a recipe, a recipe.json, a data set or a folder; or --resume RUN"
        )
    if "photos" in more:
        if "data" in own:
            raise UsageError("the pictures are given twice, as PHOTOS and as --data; give them once")
        own["data"] = more["photos"]
    changes += [f"epochs={more['epochs']}"] if "epochs" in more else []
    changes += more.get("set", ())
    if "dry_run" in more:
        del own["watchers"]
        return forecast(**own, changes=changes)
    return verb(**own, changes=changes)


COMMAND = Command(
    about="Train: a recipe goes in, a run comes out.",
    example="neocog train mnist; neocog train photos/ --epochs 20; neocog train restore photos/; "
    "neocog train --resume runs/mnist --epochs 30",
    options={
        "what": Option(optional=True, help="A recipe, recipe.json, data set or folder of pictures."),
        "photos": Option(
            kind="text", place="argument", help="What a recipe is to learn from: the same as --data."
        ),
        "data": DATA,
        "model": Option(help="A network of the zoo, or net.json."),
        "start": Option(
            flag="--from", kind="text", help="Borrow the features of a network, a run or a file; or nothing."
        ),
        "tune": Option(
            kind="text", parse=listed, help="STAGE[,STAGE]: in the end free what comes after, in small steps."
        ),
        "epochs": Option(kind="int", help="Passes over the training pictures."),
        "batch_size": Option(kind="int", short="-b", help="Pictures a step."),
        "lr": Option(kind="float", help="Learning rate."),
        "size": Option(
            kind="text", parse=side_or_sides, help="HEIGHTxWIDTH of the network's input, or one number."
        ),
        "precision": PRECISION,
        "seed": Option(kind="int", help="Decides every draw."),
        "device": DEVICE,
        "engine": Option(help=f"{ACCEPTED}: who does the sums."),
        "out": Option(kind="path", short="-o", help="The run's folder (default: runs/NAME)."),
        "set": Option(kind="texts", help="FIELD=VALUE of the recipe, e.g. optim.lr=0.05."),
        "resume": Option(kind="path", help="Go on with this run (with --epochs: to so many)."),
        "dry_run": Option(
            kind="switch", help="Say what it would cost in time, memory and disk; train nothing."
        ),
        "tensorboard": Option(kind="switch", help="Write TensorBoard logs too."),
    },
    python_only=frozenset({"changes"}),
    call=call,
)
