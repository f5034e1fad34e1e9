"""reproduce on the command line: --all, --missing and `list` in place of ids; --quick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neocog.cli.command import Command, Given
from neocog.cli.options import DEVICE, Option
from neocog.errors import UsageError

LIST = "list"


def call(verb: Callable[..., Any], given: Given) -> Any:
    """Which experiments; a line an epoch on stderr unless it is to be quiet."""
    from neocog.training.watchers import Console

    own = dict(given.own)
    listed = LIST in own.get("ids", ())
    wanted = [word for word in ("all", "missing") if word in given.more] + ([LIST] if listed else [])
    if len(wanted) > 1:
        raise UsageError("give one of --all, --missing and list")
    ids = [name for name in own.pop("ids", ()) if name != LIST]
    return verb(
        ids,
        **own,
        **({"which": wanted[0]} if wanted else {}),
        watchers=() if given.quiet else [lambda run: Console()],
    )


COMMAND = Command(
    about="Run an experiment of the chapters: the published figure, ours with its interval, a verdict.",
    example="neocog reproduce M9 G3; neocog reproduce --missing --out results; neocog reproduce list",
    options={
        "ids": Option(help="Ids such as M9 or C2; list: what there is, and what was run."),
        "all": Option(kind="switch", help="Every experiment."),
        "missing": Option(kind="switch", help="Those that --out holds no result of."),
        "effort": Option(
            flag="--quick", kind="switch", sets="quick", help="What needs no files and less than a minute."
        ),
        "seeds": Option(least=1, help="So many seeds, from 0, in place of each recipe's own."),
        "out": Option(kind="path", short="-o", help="A folder for results: ID.json."),
        "runs": Option(kind="path", help="Where trainings and pictures are kept (default: runs/figures)."),
        "weights": Option(help="Of the public network that P, T and N ask for: a file, or hub:OWNER/NAME."),
        "device": DEVICE,
    },
    python_only=frozenset({"which"}),
    call=call,
)
