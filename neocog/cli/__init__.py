"""argv -> one public function -> its result's text or JSON. Results go to stdout, progress and remarks to
stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from neocog._version import __version__
from neocog.errors import NeocogError, UsageError, error_line, escaped

app = typer.Typer(
    name="neocog",
    help="Train convolutional networks on pictures, measure them, use them, and see inside.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
DataOption = Annotated[str | None, typer.Option("--data", help="A data set's name or a folder of pictures.")]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights", help="With a network's name: its weights, a file, hub:OWNER/NAME or a release."
    ),
]
SplitOption = Annotated[str | None, typer.Option("--split", help="train, val or test.")]


class Result(Protocol):
    """What every verb returns."""

    def text(self) -> str: ...
    def json(self) -> Any: ...


def show(result: Result, as_json: bool) -> None:
    """Print a result: its text, or one JSON document."""
    print(json.dumps(result.json(), ensure_ascii=False, allow_nan=False) if as_json else result.text())


def save(result: Any, out: Path | None) -> None:
    """Write a result's picture where `-o` says."""
    if out is not None:
        result.save(out)
        print(f"wrote {escaped(str(out))}", file=sys.stderr)


def reading() -> Callable[[int, int], None]:
    """Progress of a first reading of many pictures: a line on stderr after two seconds, then every ten."""
    due = time.monotonic() + 2

    def tell(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + 10
            print(f"reading pictures: {done} of {total}", file=sys.stderr)

    return tell


def sizes(text: str, *, least: int, most: int) -> tuple[int, ...]:
    """'32x32x3' -> (32, 32, 3)."""
    parts = text.lower().replace("×", "x").split("x")
    if not (least <= len(parts) <= most and all(p.isdecimal() and int(p) > 0 for p in parts)):
        example = (
            "HEIGHTxWIDTH, for example 32x32" if most == 2 else "HEIGHTxWIDTHxCHANNELS, for example 32x32x3"
        )
        raise UsageError(f"'{text}' is not a size; write {example}")
    return tuple(int(p) for p in parts)


def one_of(kind: str, value: str | None, accepted: tuple[str, ...]) -> Any:
    if value is not None and value not in accepted:
        from neocog.errors import unknown

        raise unknown(kind, value, accepted)
    return value


SPLITS = ("train", "val", "test")


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"neocog {__version__}")
        raise typer.Exit


@app.command()
def train(
    what: Annotated[
        str | None, typer.Argument(help="A recipe, recipe.json, data set or folder of pictures.")
    ] = None,
    data: DataOption = None,
    model: Annotated[str | None, typer.Option(help="A network of the zoo, or net.json.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", help="Pictures a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the network's input, or one number.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides every draw.")] = None,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run's folder (default: runs/NAME).")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, e.g. optim.lr=0.05.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run (with --epochs: to so many).")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard logs too.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train: a recipe goes in, a run comes out.

    Examples: neocog train mnist; neocog train photos/ --epochs 20; neocog train --resume runs/mnist --epochs
    30
    """
    from neocog.training.watchers import Console, TensorBoard
    from neocog.verbs import train as verb

    given = {"batch": batch_size, "optim.lr": lr, "precision": precision, "seed": seed}
    changes = [f"{field}={value}" for field, value in given.items() if value is not None]
    if size is not None:
        sides = sizes(size, least=1, most=2)
        changes.append(f"preprocess.size={[sides[0], sides[-1]]}")
    watchers: list[Callable[..., Any]] = [] if quiet else [lambda run: Console()]
    watchers += [TensorBoard] if tensorboard else []
    if resume is not None:
        if what is not None or model is not None or out is not None:
            raise UsageError(
                "--resume goes on with a run as it was started: give it without WHAT, --model and --out"
            )
        changes += set_ or []
        run = verb.resume(
            resume,
            epochs=epochs,
            changes=changes,
            device=device,
            data=data,
            watchers=watchers,
            progress=None if quiet else reading(),
        )
    elif what is None:
        raise UsageError(
            "say what to train: a recipe, a recipe.json, a data set or a folder; or --resume RUN"
        )
    else:
        changes += [f"epochs={epochs}"] if epochs is not None else []
        changes += set_ or []
        run = verb.train(
            what,
            data=data,
            model=model,
            changes=changes,
            out=out,
            device=device,
            watchers=watchers,
            progress=None if quiet else reading(),
        )
    show(run, as_json)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run's folder, a model file, or a network's name.")],
    split: SplitOption = None,
    data: DataOption = None,
    group: Annotated[
        list[str] | None, typer.Option(help="NAME=class,class: count these classes as one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the confusion matrix as PNG.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write everything as one HTML page.")] = None,
    weights: WeightsOption = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a trained network: accuracy with its interval, loss, per class, confusion (rows are truth)."""
    from neocog.verbs.evaluate import evaluate as verb

    chosen, groups = one_of("split", split, SPLITS), _groups(group)
    found = verb(
        run,
        split=chosen,
        data=data,
        group=groups,
        report=report,
        weights=weights,
        device=device,
        progress=reading(),
    )
    if report is not None:
        print(f"wrote {escaped(str(report))}", file=sys.stderr)
    save(found, out)
    show(found, as_json)


def _groups(texts: list[str] | None) -> dict[str, list[str]] | None:
    groups = {}
    for text in texts or []:
        name, mark, classes = text.partition("=")
        if not mark or not name or not classes:
            raise UsageError(f"'{text}' is not NAME=class,class; for example vehicle=automobile,truck")
        groups[name] = classes.split(",")
    return groups or None


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="A run's folder, a model file, or a network's name.")],
    images: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, globs; - reads names from stdin.")
    ] = None,
    top: Annotated[int, typer.Option(help="How many classes to name.")] = 5,
    split: SplitOption = None,
    index: Annotated[
        str | None, typer.Option(help="With --split: numbers of its pictures, e.g. 0,17.")
    ] = None,
    data: DataOption = None,
    picture: Annotated[
        Path | None, typer.Option(help="Show the first 20 answers with their probabilities, as PNG.")
    ] = None,
    spectrum: Annotated[
        Path | None, typer.Option(help="Plot the probabilities of all classes, as PNG.")
    ] = None,
    weights: WeightsOption = None,
    negative: Annotated[
        bool, typer.Option("--negative", help="Turn light into dark first (digits on white paper).")
    ] = False,
    format_: Annotated[str, typer.Option("--format", help="text, jsonl or csv.")] = "text",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Name pictures of any size. A file that cannot be read does not stop the rest (exit 3 at the end)."""
    from neocog.verbs.predict import predict as verb

    one_of("format", format_, ("text", "jsonl", "csv"))
    predictions = verb(
        run,
        images or (),
        split=one_of("split", split, SPLITS),
        index=_numbers(index),
        data=data,
        weights=weights,
        top=top,
        polarity="negative" if negative else "as given",
        device=device,
    )
    save(predictions, picture)
    if spectrum is not None:
        predictions.spectrum(spectrum)
        print(f"wrote {escaped(str(spectrum))}", file=sys.stderr)
    if picture is not None and predictions.limit:
        print(predictions.limit, file=sys.stderr)
    if format_ != "text" and not as_json:
        print(predictions.jsonl() if format_ == "jsonl" else predictions.csv())
    else:
        show(predictions, as_json)
    if predictions.exit_code:
        raise typer.Exit(predictions.exit_code)


def _numbers(text: str | None) -> tuple[int, ...]:
    parts = text.split(",") if text else []
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"'{text}' is not a list of numbers; write for example 0,17")
    return tuple(int(part) for part in parts)


@app.command()
def summary(
    model: Annotated[str, typer.Argument(help="A network of the zoo, net.json, a run or a model file.")],
    input_: Annotated[
        str | None, typer.Option("--input", help="HEIGHTxWIDTHxCHANNELS (default: the network's own).")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes (default: the network's own).")
    ] = None,
    picture: Annotated[Path | None, typer.Option("--picture", "-o", help="Draw the network as PNG.")] = None,
    weights: WeightsOption = None,
    as_json: Json = False,
) -> None:
    """Layers, sizes, parameters, multiply-accumulates, receptive fields; and why a network cannot be."""
    from neocog.verbs.summary import summary as verb

    given = sizes(input_, least=3, most=3) if input_ else None
    result = verb(
        model, input=(given[0], given[1], given[2]) if given else None, classes=classes, weights=weights
    )
    save(result, picture)
    show(result, as_json)


@app.command()
def weights(
    what: Annotated[str | None, typer.Argument(help="A network's name, a run or a model file.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", help="Say what this weights file is, and check it.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write .safetensors; for layer lists .h5, .keras or .json of Keras too."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Public weights with licence and accuracy; what a weights file is; files of other libraries both ways.

    Examples: neocog weights; neocog weights --file vgg16.h5 -o vgg16.safetensors; neocog weights runs/mnist
    -o net.keras
    """
    from neocog.verbs.weights import Weights
    from neocog.verbs.weights import weights as verb

    result = verb(what, file=file)
    if out is not None and not isinstance(result, Weights):
        raise UsageError("-o writes a network: give a run, a model file, or --file FILE")
    save(result, out)
    show(result, as_json)


@app.command()
def features(
    what: Annotated[str, typer.Argument(help="A run's folder, a model file, or a network's name.")],
    images: Annotated[list[str], typer.Argument(help="Files, folders, globs; - reads names from stdin.")],
    layer: Annotated[str, typer.Option(help="Its name or number in neocog summary, or Keras' name.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write .npz or .csv.")] = None,
    weights: WeightsOption = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Any layer's output for pictures. Example: neocog features vgg16 cat.jpg --layer block4_pool -o f.npz"""
    from neocog.verbs.features import features as verb

    result = verb(what, images, layer=layer, weights=weights, device=device)
    save(result, out)
    show(result, as_json)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


@app.command()
def look(
    what: Annotated[str, typer.Argument(metavar="DATA", help="A data set's name or a folder of pictures.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the sample grid as PNG.")] = None,
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH that the network will see.")] = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="A few pictures of each class.")] = False,
    index: Annotated[int | None, typer.Option(help="One picture with its value scale.")] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=VALUE, e.g. rotation=30: that picture and three variants of it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what was understood of a data set: layout, classes, counts, sizes, files skipped and why."""
    from neocog.verbs.look import augmentation
    from neocog.verbs.look import look as verb

    sides = sizes(size, least=1, most=2) if size else None
    result = verb(
        what,
        size=(sides[0], sides[-1]) if sides else None,
        view="by-class" if by_class else "sample",
        index=index,
        augment=augmentation(augment) if augment else None,
        progress=reading(),
    )
    save(result, out)
    show(result, as_json)


@app.command("list")
def list_command(
    what: Annotated[str, typer.Argument(help="models, data, recipes or runs.")] = "models",
    sort: Annotated[str | None, typer.Option(help="A column; -COLUMN for the largest first.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="For example parameters<5e6.")] = None,
    as_json: Json = False,
) -> None:
    """What there is: networks of the zoo, data sets, recipes, runs."""
    from neocog.verbs.list import list_ as verb

    show(
        verb(one_of("list", what, ("models", "data", "recipes", "runs")), sort=sort, where=where or ()),
        as_json,
    )


@app.command("filter")
def filter_command(
    image: Annotated[
        str,
        typer.Argument(help="A picture, DATASET:INDEX, numbers '1 0; 0 1', sound, video or text:WORDS."),
    ],
    kernel: Annotated[
        list[str] | None,
        typer.Option(help="A name, numbers, a file, random, or letters:WORD; may be given again."),
    ] = None,
    pool: Annotated[list[str] | None, typer.Option(help="max, average or l2, with a size: max:3.")] = None,
    stride: Annotated[
        int | None, typer.Option(help="Pixels a step (default: 1; of pooling, its size).")
    ] = None,
    padding: Annotated[str, typer.Option(help="valid, same, or pixels on every side.")] = "valid",
    border: Annotated[
        str, typer.Option(help="What padding holds: zero, constant, reflect or nearest.")
    ] = "zero",
    value: Annotated[float, typer.Option(help="Of --border constant.")] = 0.0,
    colour: Annotated[str, typer.Option(help="given (as it is), grey or rgb.")] = "given",
    then: Annotated[str, typer.Option(help="none or sigmoid.")] = "none",
    levels: Annotated[
        str, typer.Option(help="clip to black..white, or scale from least to greatest.")
    ] = "clip",
    at: Annotated[str | None, typer.Option(help="ROW,COL: print the products there and their sum.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the kernel random.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write .png or .npz.")] = None,
    as_json: Json = False,
) -> None:
    """A classical filter or pooling, with its numbers.

    Example: neocog filter cat.jpg --kernel edges -o edges.png
    """
    from neocog.inside.filters import BORDERS, Pool, Sliding
    from neocog.verbs.filter import filter_ as verb

    windows = [*(kernel or []), *(_pool(text, Pool) for text in pool or [])]
    if not windows:
        raise UsageError("say what to slide over it: --kernel blur, --kernel '1 0; 0 1' or --pool max")
    pads: Any = int(padding) if padding.isdecimal() else one_of("padding", padding, ("valid", "same"))
    result = verb(
        image,
        windows=windows,
        sliding=Sliding(stride, pads, one_of("border", border, BORDERS), value),
        colour=one_of("colour", colour, ("given", "grey", "rgb")),
        then=one_of("then", then, ("none", "sigmoid")),
        levels=one_of("levels", levels, ("clip", "scale")),
        at=_numbers(at) or None,
        seed=seed,
    )
    save(result, out)
    show(result, as_json)


def _pool(text: str, make: Callable[..., Any]) -> Any:
    """'max:3' -> Pool('max', 3)."""
    kind, mark, size = text.partition(":")
    if mark and not size.isdecimal():
        raise UsageError(f"'{text}' is no pooling; write for example max or max:3")
    return make(kind, int(size)) if mark else make(kind)


def run(argv: list[str]) -> int:
    """One command, in this process: its exit code."""
    try:
        app(argv, prog_name="neocog")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except NeocogError as error:
        print(error_line(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def main() -> None:
    sys.exit(run(sys.argv[1:]))
