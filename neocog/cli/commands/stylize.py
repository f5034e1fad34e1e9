"""stylize on the command line: usual settings have options of their own, --resume goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from neocog.cli.command import Command, Given
from neocog.cli.options import ACCEPTED, DEVICE, WEIGHTS, Option
from neocog.errors import UsageError

FIELDS = {"size": "size", "steps": "steps", "content_weight": "content", "colours": "colours", "seed": "seed"}
"""Options -> the fields of the settings that they change."""


def call(verb: Callable[..., Any], given: Given) -> Any:
    """`stylize`, or with --resume `go_on`; progress on stderr unless it is to be quiet."""
    from neocog.style.watchers import Console, Pictures
    from neocog.verbs.stylize import go_on

    own, more = dict(given.own), given.more
    changes = [f"{field}={more[name]}" for name, field in FIELDS.items() if name in more]
    changes += more.get("set", ())
    watchers: list[Any] = [] if given.quiet else [Console()]
    target = more.get("resume") or own.get("out")
    if "save_every" in more and target is not None:
        watchers.append(Pictures(target, more["save_every"]))
    if "resume" in more:
        if set(own) - {"device"}:
            raise UsageError(
                "--resume goes on with a painting as it was begun: give it without pictures, --out and --eyes"
            )
        return go_on(more["resume"], changes=changes, watchers=watchers, **own)
    if not {"content", "styles", "out"} <= set(own):
        raise UsageError("say what to paint: neocog stylize CONTENT STYLE... -o out.png; or --resume out.png")
    return verb(**own, changes=changes, watchers=watchers)


def shares(texts: Sequence[str]) -> tuple[float, ...]:
    """['3', '1'] or ['3,1'] -> (3.0, 1.0)."""
    parts = [part for text in texts for part in text.split(",")]
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        raise UsageError(f"'{','.join(texts)}' are no weights of styles; write for example 3,1") from None


COMMAND = Command(
    about="Paint a picture in the style of others.",
    example="neocog stylize photo.jpg starry_night.jpg -o painted.png; neocog stylize --resume painted.png",
    options={
        "content": Option(optional=True, help="The picture to paint."),
        "styles": Option(optional=True, metavar="STYLE...", help="Pictures in whose style."),
        "out": Option(kind="path", short="-o", optional=True, help="Write the picture as PNG."),
        "eyes": Option(
            help="What looks: a network's name, weights file, run or model file (default: the best at hand)."
        ),
        "weights": WEIGHTS,
        "size": Option(kind="int", help="Longer side of the result in pixels (default: 512)."),
        "steps": Option(kind="int", help="At each size, from coarse to fine (default: 150)."),
        "content_weight": Option(kind="float", help="Weight of the content (default: 0.05)."),
        "style_weights": Option(
            flag="--style-weight", kind="texts", parse=shares, help="How much the styles count: 3,1."
        ),
        "masks": Option(
            flag="--mask", help="White: where in the result a style counts; once for each style."
        ),
        "style_masks": Option(
            flag="--style-mask", help="White: which part of a style counts; once for each style."
        ),
        "colours": Option(
            kind="text",
            accepts="neocog.style.settings.Colours",
            help=f"{ACCEPTED}: as the style has them, as the content has, the style's matched first.",
        ),
        "save_every": Option(kind="int", least=1, help="Steps between two pictures: out-0100.png, ..."),
        "seed": Option(kind="int", least=0, help="Of the noise (--set start=noise)."),
        "set": Option(kind="texts", help="FIELD=VALUE of the settings, e.g. optimizer=lbfgs."),
        "resume": Option(kind="path", help="Go on with the unfinished painting of this PNG."),
        "device": DEVICE,
    },
    python_only=frozenset({"settings", "changes"}),
    call=call,
)
