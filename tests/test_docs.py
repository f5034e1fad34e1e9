"""The documentation is true: its commands print what it shows, its tables, trees and links are the code's."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import neocog
from neocog import sealed
from neocog.cli import VERBS
from neocog.cli import run as command
from neocog.data import DATASETS, Data
from neocog.data.augment.augment import Augment
from neocog.data.damage import Damage
from neocog.events import Event
from neocog.optim.settings import Optim
from neocog.pictures.decode import Preprocess
from neocog.recipes.chapters import FOR_DATA, RECIPES
from neocog.recipes.recipe import Phase, Recipe, Start, Stop
from neocog.runs.run import Run
from neocog.tasks.multilabel import MultiLabelReport
from neocog.verbs.filter import filter_
from neocog.verbs.list import list_
from neocog.zoo import ZOO, Head, Manner, Model
from neocog.zoo.layer_list import KINDS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the comments right above it."""

    language: str
    text: str
    comments: tuple[str, ...]

    def comment(self, start: str) -> str | None:
        found = [c.removeprefix(start).strip() for c in self.comments if c.startswith(start)]
        return found[0] if found else None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = re.finditer(
        r"((?:^<!-- [^\n]* -->\n+)*)^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
    )
    return [Block(m[2], m[3], tuple(re.findall(r"<!-- (.*?) -->", m[1]))) for m in found]


def commands(block: Block) -> list[tuple[list[str], list[str]]]:
    """The commands of a console block, split into words, each with the lines that it is said to print."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:].split(), []))
        else:
            found[-1][1].append(line)
    return found


def pattern(lines: Iterable[str]) -> str:
    """A regular expression for `lines`: '...' alone is any number of lines, within a line anything."""
    parts = (
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"
        for line in lines
    )
    return "".join(parts)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_examples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """A page's files are written, its Python and its commands are run, in order, in one folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEOCOG_RUNS_DIR", raising=False)
    for block in blocks(page):
        if name := block.comment("file:"):
            Path(name).write_text(block.text)
        elif block.comment("not run:") is not None:
            continue
        elif block.language == "python":
            exec(compile(block.text, page.name, "exec"), {})
            capsys.readouterr()
        elif block.language == "console":
            for argv, said in commands(block):
                assert argv[0] == "neocog", f"{page.name}: {argv} is no command of neocog"
                code = command(argv[1:])
                out, err = capsys.readouterr()
                assert code == int(block.comment("exit code") or 0), f"{page.name}: {argv}\n{err}"
                printed = err + out
                assert not said or re.fullmatch(pattern(said), printed), f"{page.name}: {argv}\n{printed}"


def test_matching_can_fail() -> None:
    assert re.fullmatch(pattern(["a ... c", "...", "d"]), "a b c\nx\ny\nd\n")
    assert not re.fullmatch(pattern(["a ... c", "d"]), "a b c\nx\nd\n")
    assert not re.fullmatch(pattern(["...", "d"]), "x\ne\n")


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_relative_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name) if name else page
        assert other.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(other), f"{page.name} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_lines_are_wrapped(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    made = re.sub(r"<!-- begin.*?<!-- end -->", "", text, flags=re.DOTALL)
    long = [line for line in made.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not long


# --- tables ------------------------------------------------------------------------------------------------


def section(page: Path, title: str) -> str:
    """The text below a heading, down to the next heading."""
    text = page.read_text()
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.DOTALL | re.MULTILINE)
    assert match, f"{page.name} has no heading '{title}'"
    return match[1]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row of a text, headings and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = [i for i, line in enumerate(lines) if set(line) <= set("|-: ")]
    drop = {*rules, *(i - 1 for i in rules)}
    return [[c.strip() for c in line.strip("|").split("|")] for i, line in enumerate(lines) if i not in drop]


def ticked(cell: str) -> list[str]:
    """The words of a cell that stand in backticks."""
    return re.findall(r"`([^`]+)`", cell)


MODELS: dict[str, type[BaseModel]] = {
    "Recipe": Recipe,
    "Data": Data,
    "Damage": Damage,
    "Model": Model,
    "Head": Head,
    "Start": Start,
    "Manner": Manner,
    "Preprocess": Preprocess,
    "Phase": Phase,
    "Optim": Optim,
    "Augment": Augment,
    "Stop": Stop,
}


def plain(value: Any) -> Any:
    """A field's default as JSON: parts of a recipe as what they leave out."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def compare(text: str, model: type[BaseModel], *, without: set[str]) -> None:
    """Fields and defaults of the table in `text` are those of `model`."""
    table = {field: row[1] for row in rows(text) for field in ticked(row[0])}
    known = {name: field for name, field in model.model_fields.items() if name not in without}
    assert set(table) == set(known)
    for name, field in known.items():
        if field.is_required():
            assert table[name] == "required", name
        else:
            default = json.loads(table[name].strip("`"))
            assert default == plain(field.get_default(call_default_factory=True)), name


@pytest.mark.parametrize("name", MODELS)
def test_recipe_fields(name: str) -> None:
    compare(section(DOCS / "json.md", name), MODELS[name], without=set())


def test_kinds_of_layers() -> None:
    titles = re.findall(r"^### (`.*`)$", (DOCS / "json.md").read_text(), re.MULTILINE)
    layers = [t for t in titles if not t.startswith("`neocog")]
    assert sorted(kind for t in layers for kind in ticked(t)) == sorted(KINDS)
    for title in layers:
        for kind in ticked(title):
            compare(section(DOCS / "json.md", title), KINDS[kind], without={"kind", "name"})


def keys(text: str) -> set[str]:
    return {key for row in rows(text) for key in ticked(row[0])}


def section_of(name: str) -> str:
    return section(DOCS / "json.md", f"`neocog {name} --json`")


@pytest.fixture(scope="module")
def printed(run: Run) -> dict[str, Any]:
    """What --json prints, by command."""
    predictions = neocog.predict(run, ["no such file"]).json() + neocog.predict(run, split="test").json()
    return {
        "train": run.json(),
        "evaluate": neocog.evaluate(run).json(),
        "predict": {key: value for item in predictions for key, value in item.items()}
        | {"note": "", "distance": 0.0, "unlike": False},
        "summary": neocog.summary(run).json(),
        "look": neocog.look("digits").json(),
        "weights": neocog.weights("resnet18").json()[0],
        "explain": neocog.explain(run, split="test", index=[0], how="gradcam").json(),
        "filter": filter_("1 2; 3 4", windows=["1"]).json(),
        "features": neocog.features(run, [run.path / "curves.png"], layer="pool1").json(),
    }


def test_every_command_is_described(printed: dict[str, Any]) -> None:
    text = (DOCS / "json.md").read_text()
    described = re.findall(r"^### `neocog (\w+) --json`$", text, re.MULTILINE)
    assert sorted(described) == sorted(VERBS), "docs/json.md: say what --json of each command prints"
    for name in printed:
        first, *second = re.split("<!-- (?:layer|several labels|restored) -->", section_of(name))
        assert keys(first) == set(printed[name]), name
        if name == "summary":
            assert keys(second[0]) == set(printed[name]["layers"][0])
        if name == "evaluate":
            assert keys(second[0]) == {field.name for field in fields(MultiLabelReport)}


@pytest.mark.parametrize("what", ["models", "data", "recipes", "runs"])
def test_columns_of_lists(what: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_RUNS_DIR", str(run.path.parent))
    table = {
        ticked(row[0])[0]: ticked(row[1]) for row in rows(section(DOCS / "json.md", "`neocog list --json`"))
    }
    assert table[what] == list(list_(what).json()[0])


def test_the_run_folder_and_the_model_file(run: Run) -> None:
    folder = section(DOCS / "json.md", "The folder of a run")
    parts = re.split(r"^`facts.json`:$|^`status.json`, for|^A line of", folder, flags=re.MULTILINE)
    files, facts, standing, happened, metrics = parts
    named = {row[0].strip("`") for row in rows(files)}
    assert named - {"tensorboard/"} == {path.name for path in run.path.iterdir()}
    status = json.loads((run.path / "status.json").read_text())
    assert keys(standing) == set(status)
    table = {ticked(row[0])[0]: ticked(row[1]) for row in rows(happened)}
    kinds = get_args(Event)
    assert {name: [*dict.fromkeys(table[name])] for name in table} == {
        kind.__name__.lower(): [field.name for field in fields(kind)] for kind in kinds
    }
    lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] == "epoch"] == ["epoch"] * len(run.metrics())
    assert all(set(line) == {"time", "event", *table[line["event"]]} for line in lines)
    assert keys(facts) == set(run.facts())
    assert keys(metrics) == set(run.metrics()[0])
    document = json.loads((run.path / "model.json").read_text())
    told = section(DOCS / "json.md", "The model file")
    assert keys(told) == set(document)
    provenance = next(row[1] for row in rows(told) if row[0] == "`provenance`")
    assert set(ticked(provenance)) == set(document["provenance"])
    tensors, document = sealed.read(run.path / "answers.safetensors")
    there, told = section(DOCS / "json.md", "The answers").split("Its `document`:")
    assert keys(there) - {"names"} == set(tensors)  # the digits are arrays, without names
    assert keys(told) == set(document)


def test_experiments_name_recipes_and_networks() -> None:
    page = DOCS / "experiments.md"
    wide = [row for row in rows(page.read_text()) if len(row) == 5]
    for id_, what, published, recipe, network in wide:
        assert re.match(r"[A-Z]\d+", id_), what
        for name in ticked(recipe):
            assert RECIPES[name].model.name == next(iter(ticked(network)), None), name
            expect = RECIPES[name].expect
            shown = {float(n) for n in re.findall(r"(\d+(?:\.\d+)?) %", published)}
            assert expect is None or round(100 * expect, 4) in shown, f"{name}: {published}"
        assert all(name in ZOO for name in ticked(network)), id_
    named = {name for row in wide for name in ticked(row[3])}
    assert named == set(RECIPES) - {"digits", "restore"}, "docs/experiments.md: every recipe has a row"
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert set(ticked(prose)) >= set(ZOO), "docs/experiments.md: every network has a row"


OPTIMIZERS = {
    "SGD": "sgd", "momentum": "momentum", "Adam": "adam", "Adadelta": "adadelta", "RMSprop": "rmsprop",
}  # fmt: skip


def _settings(what: str, published: str) -> dict[str, Any]:
    """The settings of a training that a row of the experiments says in words."""
    found: dict[str, Any] = {}
    epochs = re.findall(r"(\d+) epochs", published) or re.findall(r"(\d+) epochs", what)
    for key, words in {"batch": r"batches of (\d+)", "limit": r"(\d+) pictures only"}.items():
        found.update((key, int(n)) for n in re.findall(words, what)[:1])
    for kind, lr in re.findall(rf"\b({'|'.join(OPTIMIZERS)})\b(?: ([\d.e-]*\d))?", what)[:1]:
        found |= {"kind": OPTIMIZERS[kind], "lr": float(lr) if lr else None}
    shares = {"a tenth held out": 0.1, "a fifth held out": 0.2}
    said = {"scale": {"pixels 0..255": "raw", "pixels 0..1": "unit"}, "held_out": shares}
    said["val"] = {"test set watched": "test"}
    for key, ways in said.items():
        found.update((key, value) for words, value in ways.items() if words in f"{what}.")
    return found | ({"epochs": max(map(int, epochs))} if epochs else {})


def test_recipes_are_set_as_their_rows_say() -> None:
    """Rows that begin from another ('M3 with Adadelta', 'tried on C2', 'the same') have its settings too."""
    known: dict[str, dict[str, Any]] = {}
    last: dict[str, Any] = {}
    for id_, what, published, recipe, _ in (
        r for r in rows((DOCS / "experiments.md").read_text()) if len(r) == 5
    ):
        what, published = what.replace("†", ""), published.replace("†", "")
        base = re.match(r"(?:.*tried on )?([A-Z]\d+)(?:'s network)? ?(?:with|on|anew|$)", what)
        begun = last if what.startswith("the same") else known.get(base[1], {}) if base else {}
        last = begun | _settings(what, published)
        known.setdefault(id_, last)
        for name in ticked(recipe):
            given = RECIPES[name]
            optim = given.phases[0].optim
            settings = {"epochs": sum(p.epochs for p in given.phases), "scale": given.preprocess.scale}
            settings |= {"batch": given.batch, "kind": optim.kind, "lr": optim.lr} | given.data.model_dump()
            assert {"epochs", "batch", "kind"} <= last.keys(), f"docs/experiments.md: how is {name} trained?"
            assert {key: settings[key] for key in last} == last, name


def test_data_sets_and_their_recipes() -> None:
    table = rows(section(DOCS / "data.md", "The data sets"))
    assert {ticked(row[0])[0] for row in table} == set(DATASETS)
    for row in table:
        counts = DATASETS[ticked(row[0])[0]].counts
        assert not counts or row[2] == " + ".join(f"{n:,}" for n in counts.values())
    training = (DOCS / "training.md").read_text()
    for data, recipe in FOR_DATA.items():
        assert f"`{data}` (`{recipe}`)" in training


def test_table_of_networks_is_current() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import networks_table
    finally:
        sys.path.pop(0)
    page = (DOCS / "networks.md").read_text()
    made = page.split(networks_table.BEGIN)[1].split(networks_table.END)[0]
    assert made.strip() == networks_table.written(), "run: python tools/networks_table.py"


def test_exit_codes() -> None:
    from neocog import errors

    table = {n for row in rows(section(ROOT / "README.md", "Exit codes")) for n in re.findall(r"\d+", row[0])}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.NeocogError)}
    assert table == {str(code) for code in codes} | {"0", "130", "143"}


# --- the tree ----------------------------------------------------------------------------------------------


def test_tree_and_layers_are_those_of_the_code() -> None:
    written = runpy.run_path(str(ROOT / "tools" / "tree.py"))["written"]
    text = (DOCS / "architecture.md").read_text()
    assert written(text) == text, "run python tools/tree.py"
    assert "tasks/" in text
    assert "`arithmetic mirror`" in text


def test_short_tree_names_every_part() -> None:
    text = section(ROOT / "README.md", "The tree")
    parts = {p.name + "/" if p.is_dir() else p.name for p in (ROOT / "neocog").iterdir()}
    parts = {p for p in parts if p.endswith(".py") or (p.endswith("/") and not p.startswith("_"))}
    named = set(re.findall(r"(?<=\s)[a-z_]+(?:\.py|/)(?=\s)", text.split("tests/")[0].split("neocog/\n")[1]))
    assert named == parts
