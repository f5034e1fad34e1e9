"""The command line says what the verbs' functions say: names, types, defaults; each option stated once."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from PIL import Image

import neocog
from neocog.cli import VERBS
from neocog.cli import run as command
from neocog.cli.application import verb as described
from neocog.cli.command import PYTHON_ONLY, Command, Given
from neocog.cli.signature import REQUIRED, literal, module_of, read
from neocog.cli.values import alternatives, sizes
from neocog.errors import UsageError
from neocog.runs.run import Run

PACKAGE = Path(neocog.__file__).parent
Capture = pytest.CaptureFixture[str]


def function(verb: str) -> Any:
    return getattr(importlib.import_module(module_of(verb)), read(verb).function)


def test_every_verb_is_a_command() -> None:
    files = {path.stem for path in (PACKAGE / "cli/commands").glob("*.py")} - {"__init__"}
    verbs = {path.stem for path in (PACKAGE / "verbs").glob("*.py")} - {"__init__"}
    made_of_verbs = set(VERBS) - verbs
    assert files == set(VERBS)
    assert verbs <= set(VERBS)
    assert made_of_verbs <= {path.stem for path in (PACKAGE / "studies").glob("*.py")}
    for verb in VERBS:
        command_ = described(verb).command
        assert all(one.startswith(f"neocog {verb}") for one in command_.example.split("; ")), verb
        assert (importlib.import_module(module_of(verb)).__doc__ or "").startswith(f"{verb}: ")


@pytest.mark.parametrize("verb", VERBS)
def test_examples_are_commands(verb: str) -> None:
    """Every option that an example names is one of its verb's."""
    flags = {"-o", *(one.flag for one in described(verb).options.values())}
    for example in described(verb).command.example.split("; "):
        assert {word for word in shlex.split(example) if re.fullmatch("--?[a-z-]+", word)} - {"-top"} <= flags


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_read_of_the_source_is_what_python_says(verb: str) -> None:
    read_, true = read(verb), inspect.signature(function(verb)).parameters
    types = get_type_hints(function(verb), localns={"Run": Run})
    assert [p.name for p in read_.parameters] == list(true)
    for parameter in read_.parameters:
        real = true[parameter.name]
        assert (parameter.place == "option") == (real.kind is inspect.Parameter.KEYWORD_ONLY)
        if real.default is inspect.Parameter.empty:
            assert parameter.default is REQUIRED
        elif parameter.name in described(verb).options:
            assert parameter.default == real.default
        if parameter.choices:
            kind = types[parameter.name]
            assert parameter.choices in [get_args(one) for one in (kind, *get_args(kind))]


def test_words_of_a_literal_are_read_of_its_source() -> None:
    from neocog.world import Precision
    from neocog.zoo.borders import Border

    assert literal("neocog.world.Precision") == get_args(Precision)
    assert literal("neocog.zoo.borders.Border") == get_args(Border)


@pytest.mark.parametrize("verb", VERBS)
def test_every_parameter_is_an_option_or_pythons_alone(verb: str) -> None:
    found = described(verb)
    alone = PYTHON_ONLY | found.command.python_only
    own = {p.name for p in found.signature.parameters}
    assert own <= alone | found.options.keys(), f"give it an option in cli/commands/{verb}.py"
    assert not alone & found.options.keys()
    assert found.command.python_only <= own
    added = {name for name, one in found.options.items() if not one.own} - {"json", "quiet"}
    special = found.command.call is not Command.call or found.command.text is not Command.text
    assert special or not added, f"{verb}: nothing is done with {added}"


@pytest.mark.parametrize("verb", VERBS)
def test_no_flag_means_two_things(verb: str) -> None:
    flags = [
        flag
        for one in described(verb).options.values()
        if one.parameter.place == "option"
        for flag in (one.flag, one.words.short)
        if flag
    ]
    assert len(flags) == len(set(flags))
    assert {"--json", "--quiet", "-q"} <= set(flags)


def test_an_option_is_stated_once() -> None:
    """What two verbs say in the same words stands in options.py."""
    places: dict[str, list[str]] = {}
    for path in (PACKAGE / "cli" / "commands").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Option", "saved"):
                places.setdefault(ast.unparse(node), []).append(path.name)
    assert {said: files for said, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_every_option(verb: str, capsys: Capture) -> None:
    assert command([verb, "-h"]) == 0
    shown = capsys.readouterr().out
    for name, one in described(verb).options.items():
        sign = one.flag if one.parameter.place == "option" else one.words.metavar or name.upper()
        assert sign in shown
        assert one.words.short in shown
    words = shown.split()
    for one in described(verb).options.values():
        assert "{" not in one.words.help.replace("{accepted}", "")
        said = one.words.help.replace("{accepted}", alternatives(one.accepted)).split()
        assert any(words[i : i + len(said)] == said for i in range(len(words))), said
    assert "For example: neocog" in shown


FLAGS = {
    "train": "--data --model --epochs --batch-size -b --lr --size --precision --seed --device --out -o --set"
    " --resume --tensorboard --json --quiet -q",
    "evaluate": "--split --data --group --out -o --report --weights --device --json",
    "predict": "--top --split --index --data --picture --spectrum --weights --negative --format --device"
    " --json",
    "summary": "--input --classes --picture -o --weights --json",
    "weights": "--file --out -o --json",
    "features": "--layer --out -o --weights --device --json",
    "explain": "--how --layer --class --against --channel --at --first --levels --backward --split --index"
    " --verdict --data --out -o --weights --device --json",
    "look": "--out -o --size --by-class --index --augment --json",
    "list": "--sort --where --json",
    "filter": "--kernel --pool --stride --padding --border --value --colour --then --levels --at --seed --out"
    " -o --json",
}
"""What scripts may have been written with."""


@pytest.mark.parametrize("verb", FLAGS)
def test_no_flag_is_lost(verb: str, capsys: Capture) -> None:
    command([verb, "--help"])
    shown = capsys.readouterr().out.replace(",", " ").split()
    assert set(FLAGS[verb].split()) <= set(shown)


def test_help_of_every_verb_loads_no_library() -> None:
    script = (
        "import sys, neocog.cli as cli\n"
        "assert all(cli.run([verb, '--help']) == 0 for verb in cli.VERBS)\n"
        "heavy = {'torch', 'rich', 'numpy', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "ours = [m for m in sys.modules if m.startswith(('neocog.verbs.', 'neocog.studies.'))]\n"
        "sys.exit(str((heavy, ours)) if heavy or ours else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_quiet_is_the_same_for_every_verb(capsys: Capture, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    told = ["evaluate", str(run.path), "-o", str(out)]
    for argv in (told, ["look", "digits", "-o", str(out)], ["summary", "lenet", "-o", str(out)]):
        assert command(argv) == 0
        loud = capsys.readouterr()
        assert f"wrote {out}" in loud.err
        assert command([*argv, "-q"]) == 0
        quiet = capsys.readouterr()
        assert (quiet.out, quiet.err) == (loud.out, "")


def test_progress_is_the_same_for_every_verb_that_reads_pictures(
    capsys: Capture, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = itertools.count(0, 3)
    monkeypatch.setattr("neocog.cli.progress.time.monotonic", lambda: next(now))
    pictures = tmp_path / "photos"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 100).save(pictures / name)
    files = sorted(map(str, pictures.rglob("*.png")))
    for argv in (
        ["predict", str(run.path), *files],
        ["features", str(run.path), *files, "--layer", "pool1"],
        ["look", str(pictures)],
    ):
        assert command(argv) == 0
        assert re.search(r"^reading pictures: \d of 4$", capsys.readouterr().err, re.MULTILINE), argv
        assert command([*argv, "-q"]) == 0
        assert capsys.readouterr().err == ""


def test_words_are_checked_before_anything_is_read(capsys: Capture) -> None:
    for argv, said in (
        ("predict nowhere x.png --format xml", "unknown format 'xml' (accepted: csv, jsonl, text)"),
        ("evaluate nowhere --split tset", "unknown split 'tset'; did you mean 'test'?"),
        ("list model", "unknown list 'model'; did you mean 'models'?"),
        ("train nothing --precision flat32", "unknown precision 'flat32'; did you mean 'float32'?"),
        ("filter 1 --kernel 1 --border x", "unknown border 'x' (accepted: constant, nearest, reflect, zero)"),
        ("filter 1 --kernel 1 --seed -1", "invalid value for '--seed'"),
        ("weights -o net.keras", "-o writes a network: give a run, a model file, or --file FILE"),
        ("look digits --size 3x", "'3x' is not a size; write HEIGHTxWIDTH, for example 32x32"),
        ("trian", "unknown verb 'trian'; did you mean 'train'?"),
        ("train", "say what to train"),
        (
            "train mnist --resume runs/mnist",
            "give it without WHAT, --model, --from, --tune, --engine, --out and --dry-run",
        ),
    ):
        assert command(argv.split()) == 2, argv
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_what_no_verb_takes_is_one_line(verb: str, capsys: Capture) -> None:
    """An option that there is not, one without its value, a switch with one, and too many words."""
    options = described(verb).options.values()
    valued = next(one.flag for one in options if one.kind != "switch" and one.parameter.place == "option")
    for words, said in (
        (
            ["--jsno"],
            f"error: unknown option of neocog {verb} '--jsno'; did you mean '--json'? (accepted: --",
        ),
        (["-z"], f"error: unknown option of neocog {verb} '-z' (accepted: --"),
        ([valued], f"error: option '{valued}' requires an argument; see: neocog {verb} --help"),
        (["--json=yes"], f"error: option '--json' does not take a value; see: neocog {verb} --help"),
    ):
        assert command([verb, *words]) == 2, words
        err = capsys.readouterr().err
        assert err.startswith(said)
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate", "missing argument 'RUN'; see: neocog evaluate --help"),
        ("evaluate a b c", "got unexpected extra argument(s) (b c); see: neocog evaluate --help"),
        ("--verson", "unknown option of neocog '--verson'; did you mean '--version'?"),
        ("-x train digits", "unknown option of neocog '-x'"),
        ("predcit run a.png", "unknown verb 'predcit'; did you mean 'predict'? (accepted: compare"),
    ],
)
def test_what_neocog_does_not_take_is_one_line(words: str, said: str, capsys: Capture) -> None:
    assert command(words.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_without_a_word_there_is_help(capsys: Capture) -> None:
    assert command([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert all(f"\n  {verb} " in said.err for verb in VERBS)


def test_a_command_hands_on_what_it_was_given() -> None:
    given = Given(own={"a": 1}, more={"b": 2}, files={"out": "x"}, quiet=True)
    assert Command(about="", example="", options={}).call(dict, given) == {"a": 1}


def test_a_verb_that_is_none() -> None:
    with pytest.raises(LookupError, match=r"no neocog/verbs/nothing\.py"):
        read("nothing")
    with pytest.raises(UsageError, match="HEIGHTxWIDTHxCHANNELS"):
        sizes("3x", least=3, most=3)
    assert alternatives(("a", "b", "c")) == "a, b or c"
    assert (alternatives(("a",)), alternatives(())) == ("a", "")
