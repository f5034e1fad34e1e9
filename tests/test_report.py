"""report.html: one offline page, every name escaped; and what results show in notebooks."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from markupsafe import Markup
from PIL import Image

import neocog
from neocog.answers import Answers, collect
from neocog.cli import run as command
from neocog.data.dataset import Dataset, Skipped, Split
from neocog.model import Trained, dataset_of, open_trained
from neocog.report import page as report_page
from neocog.report.section import Section
from neocog.report.sections import calibration, classes, confusion, gallery
from neocog.report.sections.recipe import settings
from neocog.report.subject import Subject
from neocog.runs.run import Run
from neocog.show import grids, markup
from neocog.tasks.classify import Classify

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ page.title }}{% raw %}",
    "a\u202egpj.exe\x1b[31m",
    "' onload='alert(1)",
    "</style><style>*{display:none}",
    "&lt;b&gt;",
    "$x_1$ \\frac",
    "日本語 ünï",
)
VOID = frozenset(["meta", "img", "br", "hr", "link", "input"])


class Parsed(HTMLParser):
    """Elements with their attributes, the visible text, and whether every element was closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def require_safe(page: str) -> Parsed:
    """No script, no handler, nothing loaded from anywhere; every picture is whole."""
    parsed = Parsed(page)
    allowed = (
        "html head meta title style body header h1 h2 h3 p ul li b span nav a main section div img figure"
    )
    allowed += " figcaption table caption thead tbody tr th td details summary pre footer svg line rect text"
    for tag, attributes in parsed.elements:
        assert tag in allowed.split(), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("srcdoc", "action", "formaction", "background", "srcset"), (tag, name)
            if name in ("href", "src", "xlink:href"):
                assert value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,", "#")), value[
                    :80
                ]
    for attributes in parsed.all("img"):
        data = base64.b64decode(attributes["src"].partition(",")[2], validate=True)
        Image.open(io.BytesIO(data)).load()
        assert "alt" in attributes
    for css in re.findall(r"<style>(.*?)</style>", page, re.DOTALL):
        assert "url(" not in css
        assert "@import" not in css
    return parsed


@pytest.fixture(scope="module")
def trained(run: Run) -> Trained:
    return open_trained(run.path)


@pytest.fixture(scope="module")
def dataset(trained: Trained) -> Dataset:
    return dataset_of(trained)


@pytest.fixture(scope="module")
def answers(trained: Trained, dataset: Dataset) -> Answers:
    return collect(trained, dataset.split("test"), "test", torch.device("cpu"))


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return (run.path / "report.html").read_text()


def renamed(subject: Subject, classes: Sequence[str]) -> Subject:
    """The same with other class names, as if the folder had had them."""
    trained = replace(subject.trained, classes=tuple(classes))
    split = subject.dataset.split("test")
    names = tuple(f"{classes[int(y)]}/{i}.png" for i, y in enumerate(split.y))
    dataset = replace(
        subject.dataset,
        name=classes[1],
        classes=tuple(classes),
        test=Split(split.x, split.y, names),
        skipped=tuple(Skipped(name, f"no picture: {name}") for name in classes),
        remarks=tuple(classes),
    )
    measured = collect(trained, dataset.split("test"), "test", torch.device("cpu"))
    return replace(subject, trained=trained, dataset=dataset, answers=measured)


def test_training_leaves_a_page_that_needs_nothing(run: Run, page: str) -> None:
    parsed = require_safe(page)
    policy = next(m for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "http://" not in page
    assert "https://" not in page
    assert str(run.path) not in page
    assert str(run.path.parent) not in page
    anchors = {a["href"].removeprefix("#") for a in parsed.all("a")}
    assert anchors <= {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}


def test_it_says_what_happened(run: Run, page: str, answers: Answers) -> None:
    text = Parsed(page).text
    measured, facts = neocog.evaluate(run), run.facts()
    assert measured.accuracy is not None
    assert measured.calibration is not None
    low, high = measured.interval
    for figure in (measured.accuracy, low, high, measured.calibration.error):
        assert f"{100 * figure:.2f} %" in text
    assert f"accuracy on test, 95 % interval {100 * low:.2f} % to {100 * high:.2f} %" in text
    for said in (facts["torch"], facts["python"], facts["data_fingerprint"], facts["recipe_identity"]):
        assert said in text
    for said in (
        "216 of 1438 training pictures are held out",
        "optim.schedule constant",
        "optim.lr 0.002",
        facts["command"],
    ):
        assert said in text
    for pair in measured.most_confused[:5]:
        assert pair.text() in text
    wrong = round((1 - measured.accuracy) * measured.n)
    assert f"{wrong} of 359 pictures were named wrongly" in text
    confidence = float(answers.probabilities.double().amax(1).mean())
    assert f"a probability of {100 * confidence:.2f} %" in text


def test_the_settings_that_differ_are_those_of_the_recipe_file(run: Run) -> None:
    """A recipe's JSON leaves defaults out, which is another way to the same list."""
    found = tuple(settings(run.recipe()))
    written = json.loads(run.recipe_file.read_text())
    expected = {f"data.{key}" for key in written["data"]} | {"model.name", "model.stem", "batch", "epochs"}
    expected |= {f"preprocess.{key}" for key in written.get("preprocess", {})}
    expected |= {f"optim.{key}" for key in written["phases"][0]["optim"]}
    differing = {setting.field for setting in found if setting.changed}
    assert differing - {"model.stem"} == expected - {"model.stem"}
    by_name = {setting.field: setting for setting in found}
    assert by_name["optim.lr"].value == "0.002"
    assert not by_name["seed"].changed


def test_the_command_trains_the_same(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = run.facts()
    assert facts["command"].startswith("neocog train digits --set epochs=3 ")
    monkeypatch.chdir(tmp_path)
    words = facts["command"].split()[1:]
    assert command([*words, "--set", "epochs=1", "--out", "again", "-q"]) == 0
    again = Run(tmp_path / "again").recipe()
    changed = {"phases": tuple(p.model_copy(update={"epochs": 3}) for p in again.phases)}
    assert again.model_copy(update=changed).model_dump() == run.recipe().model_dump()


def test_hostile_names_stay_names(run: Run, trained: Trained, dataset: Dataset) -> None:
    subject = renamed(Subject(trained=trained, dataset=dataset, run=run), HOSTILE)
    page = report_page.html(subject)
    parsed = require_safe(page)
    assert "\x1b" not in page
    assert "\u202e" not in page
    for name in HOSTILE:
        shown = re.sub(r"\s+", " ", name.encode("unicode_escape").decode() if "\x1b" in name else name)
        assert shown in parsed.text, name
    assert parsed.text.count("<script>alert(1)</script>") > 5
    matrix = Parsed(page).all("th")
    assert len(matrix) > 20


def test_the_pictures_are_the_answers(trained: Trained, dataset: Dataset, answers: Answers) -> None:
    subject = Subject(trained=trained, dataset=dataset, answers=answers)
    mistakes, samples = gallery.worst(subject), gallery.even(subject)
    split = dataset.split("test")
    wrong = [i for i in range(len(answers)) if answers.probabilities[i].argmax() != split.y[i]]
    by_loss = sorted(wrong, key=lambda i: (-float(answers.losses[i]), i))
    assert [m.name for m in mistakes] == [f"test[{i}]" for i in by_loss[: gallery.MISTAKES]]
    text = Parsed(report_page.html(subject)).text
    assert f"{len(wrong)} of {len(answers)} pictures were named wrongly" in text
    first = mistakes[0]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.source.partition(",")[2]))))
    assert np.array_equal(pixels, split.x[by_loss[0], 0].numpy())
    assert first.truth == str(int(split.y[by_loss[0]]))
    said = float((-answers.losses[by_loss[0]]).exp())
    assert first.surety[1] == f"truth {100 * said:.1f} %"
    assert len(samples) == 32
    assert len({s.name for s in samples}) == 32
    drawn = [
        i["alt"] for i in Parsed(report_page.html(subject)).all("img") if i.get("class") == "paper answer"
    ]
    assert [alt.split()[4] for alt in drawn] == ["right", "wrong"]
    assert all(s.right == (s.truth == s.predicted) for s in samples)


def test_label_sets(trained: Trained, dataset: Dataset, run: Run) -> None:
    """Of several labels a picture: the sets in words, the scores of each label, and nothing of one class."""
    sets = torch.nn.functional.one_hot(dataset.split("test").y, 10).float()
    sets[:, 0] = 1.0  # every picture also carries the label 0
    split = Split(dataset.split("test").x, sets)
    tagged = replace(dataset, train=split, val=None, test=split)
    tagger = replace(trained, task="multilabel")
    found = collect(tagger, split, "test", torch.device("cpu"))
    with torch.inference_mode():
        logits = trained.network(trained.preprocess.normalise(split.x))
    torch.testing.assert_close(found.probabilities, logits.sigmoid(), atol=1e-5, rtol=1e-4)
    given = logits > 0
    assert torch.equal(found.predicted, given)
    assert found.report.accuracy == pytest.approx(float((given == (sets > 0)).all(1).float().mean()))
    page = report_page.html(Subject(trained=tagger, dataset=tagged, answers=found, run=run))
    text = require_safe(page).text
    assert "mean average precision" in text
    assert "Confusions" not in text
    assert "Calibration" not in text
    worst = gallery.worst(Subject(trained=tagger, dataset=tagged, answers=found))[0]
    row = int(worst.name[5:-1])
    assert worst.truth == " + ".join(str(i) for i in range(10) if sets[row, i])
    assert worst.predicted == (" + ".join(str(i) for i in range(10) if given[row, i]) or "none")
    own = torch.nn.functional.binary_cross_entropy_with_logits(logits, sets, reduction="none").mean(1)
    wrong = (given != (sets > 0)).any(1)
    assert worst.surety == (f"loss {float(own[wrong].max()):.3f}",)


def test_wrong_pictures_are_marked(trained: Trained, dataset: Dataset, answers: Answers) -> None:
    subject = Subject(trained=trained, dataset=dataset, answers=answers)
    marked = [f["class"] for f in Parsed(report_page.html(subject)).all("figure")]
    shown = (*gallery.worst(subject), *gallery.even(subject))
    assert marked == ["right" if e.right else "wrong" for e in shown]
    assert "wrong" in marked


def test_a_model_file_alone_and_nothing_held_out(trained: Trained, dataset: Dataset, run: Run) -> None:
    alone = replace(dataset, val=None, test=None)
    parsed = require_safe(report_page.html(Subject(trained=trained, dataset=alone)))
    assert "nothing was measured" in parsed.text
    assert "Recipe" not in parsed.text
    assert parsed.all("img") == []
    only_run = require_safe(report_page.html(Subject(trained=trained, dataset=alone, run=run)))
    assert "What differs from the defaults" in only_run.text


def test_no_mistakes_and_very_few_pictures(trained: Trained, dataset: Dataset, answers: Answers) -> None:
    rows = answers.right.nonzero().flatten()[:3]
    few = replace(dataset, test=dataset.split("test").subset(rows))
    measured = collect(trained, few.split("test"), "test", torch.device("cpu"))
    text = require_safe(report_page.html(Subject(trained=trained, dataset=few, answers=measured))).text
    assert "All answers were right" in text
    assert "No class was taken for another" in text
    none = replace(dataset, test=dataset.split("test").subset(rows[:0]))
    measured = collect(trained, none.split("test"), "test", torch.device("cpu"))
    assert (
        "no pictures: nothing was measured"
        in require_safe(report_page.html(Subject(trained=trained, dataset=none, answers=measured))).text
    )


@pytest.mark.parametrize(("n", "table", "drawn"), [(30, True, False), (31, False, True), (300, False, False)])
def test_many_classes(
    answers: Answers, trained: Trained, dataset: Dataset, n: int, table: bool, drawn: bool
) -> None:
    """Above 30 classes the matrix is a picture, above 150 it is left to the list of confusions."""
    from neocog.tasks.tally import Tally

    generator = torch.Generator().manual_seed(0)
    split = Split(torch.zeros(900, 1, 8, 8, dtype=torch.uint8), torch.arange(900) % n)
    logits = torch.randn(900, n, generator=generator)
    tally = Tally(n)
    tally.add(logits, split.y)
    names = tuple(f"c{i}" for i in range(n))
    measured = replace(
        answers,
        task=Classify(names),
        report=tally.report(names, split="test"),
        probabilities=logits.softmax(1),
        truth=split.y,
        losses=torch.nn.functional.cross_entropy(logits, split.y, reduction="none"),
    )
    wide = replace(dataset, classes=names, test=split, train=split, val=None)
    subject = Subject(trained=replace(trained, classes=names), dataset=wide, answers=measured)
    page = report_page.html(subject)
    require_safe(page)
    assert ('class="matrix' in page) is table
    section = confusion.confusion(subject)
    assert section is not None
    assert ('alt="confusion matrix' in section.body) is drawn
    listed = classes.classes(subject).body
    assert sum(f"<th>{name}</th>" in listed for name in names) == min(n, classes.MOST_ROWS)
    assert (f"and {n - classes.MOST_ROWS} more classes" in listed) is (n > classes.MOST_ROWS)


def test_ten_thousand_pictures_cost_no_more_than_a_few(
    trained: Trained, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that are shown are counted, not those that there are; no bytes for each of the others."""
    test = dataset.split("test")
    drawn: list[int] = []
    thumbnail = markup.thumbnail
    monkeypatch.setattr(markup, "thumbnail", lambda pixels: drawn.append(1) or thumbnail(pixels))  # type: ignore[func-returns-value]

    def page_of(pictures: int) -> tuple[int, int]:
        drawn.clear()
        many = test.subset(torch.arange(pictures) % len(test))
        measured = collect(trained, many, "test", torch.device("cpu"))
        page = report_page.html(
            Subject(trained=trained, dataset=replace(dataset, test=many), answers=measured)
        )
        return len(drawn), len(page)

    few, small = page_of(3_000)
    assert 0 < few < 100
    shown, size = page_of(10_000)
    assert shown == few
    assert abs(size - small) < 0.05 * small


def test_evaluate_writes_it_on_request(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.html"
    assert (
        command(["evaluate", str(run.path), "--group", "round=0,6,8,9", "--report", str(out), "--json"]) == 0
    )
    said = capsys.readouterr()
    assert json.loads(said.out)["classes"] == ["round", "other"]
    assert "out.html" in said.err
    parsed = require_safe(out.read_text())
    assert "By groups" in parsed.text
    assert f"{100 * json.loads(said.out)['accuracy']:.2f} %" in parsed.text
    alone = tmp_path / "alone.safetensors"
    shutil.copy(run.model_file, alone)
    neocog.evaluate(alone, split="val", report=out)
    assert "Measured on the split val" in require_safe(out.read_text()).text


def test_predictions_as_a_picture(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two answers below each other are those two answers drawn alone."""
    out = tmp_path / "out.png"
    assert (
        command(["predict", str(run.path), "--split", "test", "--index", "0,17", "--picture", str(out)]) == 0
    )
    assert "shows" not in capsys.readouterr().err
    both = np.asarray(Image.open(out))
    parts = []
    for index in (0, 17):
        neocog.predict(run, split="test", index=[index]).save(out)
        parts.append(np.asarray(Image.open(out)))
    assert np.array_equal(both, np.concatenate(parts))
    found = neocog.predict(run, split="test", index=[0, 17])
    split = dataset_of(open_trained(run.path)).split("test")
    for item, index in zip(found.items, (0, 17), strict=True):
        assert item.shown is not None
        assert np.array_equal(item.shown.pixels, split.x[index].numpy())
        assert item.shown.probabilities.max() == pytest.approx(item.top[0].probability)


def test_a_picture_of_many_predictions_shows_twenty_and_says_so(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grids, "MOST_STACKED", 3)
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 255, (9, 9), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    assert command(["predict", str(run.path), str(tmp_path), "--picture", str(tmp_path / "out.PNG")]) == 3
    assert "the picture shows 2 of 5 predictions" in capsys.readouterr().err
    with pytest.raises(neocog.NeocogError, match="nothing to show"):
        neocog.predict(run, [tmp_path / "1.png"]).save(tmp_path / "none.png")


def test_groups_of_cifars_classes(run: Run, trained: Trained, dataset: Dataset) -> None:
    """C7's question, whether there is a vehicle, against counting by hand."""
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    vehicles = ["airplane", "automobile", "ship", "truck"]
    subject = renamed(Subject(trained=trained, dataset=dataset, run=run), names)
    assert subject.answers is not None
    is_vehicle = torch.tensor([name in vehicles for name in names])
    agree = is_vehicle[subject.answers.predicted] == is_vehicle[subject.answers.truth]
    grouped = subject.answers.report.grouped({"vehicle": vehicles})
    assert grouped.accuracy == int(agree.sum()) / len(agree)
    text = require_safe(report_page.html(replace(subject, grouped=grouped))).text
    assert f"Accuracy {100 * int(agree.sum()) / len(agree):.2f} %" in text


def test_what_notebooks_show(run: Run, dataset: Dataset, tmp_path: Path) -> None:
    hostile = replace(dataset, name=HOSTILE[0], classes=HOSTILE)
    Image.new("L", (9, 9)).save(tmp_path / "<img src=x onerror=alert(1)>.png")
    named = neocog.predict(run, [tmp_path / "<img src=x onerror=alert(1)>.png", tmp_path / "<b>none.png"])
    shown = {
        "dataset": hostile._repr_html_(),
        "run": run._repr_html_(),
        "predictions": named._repr_html_(),
        "report": neocog.evaluate(run)._repr_html_(),
        "summary": neocog.summary(run)._repr_html_(),
        "look": neocog.look("digits")._repr_html_(),
    }
    parsed = {name: require_safe(page) for name, page in shown.items()}
    pictures = {name for name, found in parsed.items() if found.all("img")}
    assert pictures == {"dataset", "run", "predictions", "look"}
    assert "onerror=alert(1)>.png" in parsed["predictions"].text
    assert "<b>none.png" in parsed["predictions"].text
    assert "359 pictures" in parsed["run"].text
    counts = re.findall(r"<td[^>]*>([\d,]+)</td>", shown["dataset"])
    assert sum(int(c.replace(",", "")) for c in counts) == 1222 + 216 + 359


def headings(page: str) -> list[str]:
    return [attributes["id"] for tag, attributes in Parsed(page).elements if tag == "section"]


def test_a_section_from_outside_the_package(
    trained: Trained, dataset: Dataset, answers: Answers, run: Run, tmp_path: Path
) -> None:
    """It stands after the answers and before the recipe, its heading and its text are escaped, its HTML is
    not; one that has nothing to show is left out.
    """

    def count(subject: Subject) -> Section:
        assert subject.answers is not None
        return Section("count", HOSTILE[0], Markup("<p>{} <b>bold</b></p>").format(len(subject.answers)))

    def text(subject: Subject) -> Section:
        return Section("text", "Text", HOSTILE[1], link="In <words>")  # type: ignore[arg-type]

    def unlinked(subject: Subject) -> Section:
        return Section("unlinked", "No link", Markup("<p>here</p>"), link="")

    subject = Subject(trained=trained, dataset=dataset, answers=answers, run=run)
    report_page.write(tmp_path / "out.html", subject, sections=[count, lambda _: None, text, unlinked])
    page = (tmp_path / "out.html").read_text()
    parsed = require_safe(page)
    before = headings(report_page.html(subject))
    place = before.index("batch")
    assert headings(page) == [*before[:place], "count", "text", "unlinked", *before[place:]]
    assert "359 bold" in parsed.text
    assert parsed.text.count(HOSTILE[0]) == 2  # the link and the heading
    assert HOSTILE[1] in parsed.text
    links = [a["href"] for a in parsed.all("a")]
    assert {"#count", "#text"} <= set(links)
    assert "#unlinked" not in links
    assert "In <words>" in parsed.text


def test_two_sections_of_one_anchor_are_refused(trained: Trained, dataset: Dataset) -> None:
    subject = Subject(trained=trained, dataset=dataset)
    with pytest.raises(neocog.NeocogError, match="anchor 'facts'; give yours another"):
        report_page.html(subject, sections=[lambda _: Section("facts", "Mine", Markup(""))])


def test_the_task_decides_by_its_name_which_sections_there_are(
    trained: Trained, dataset: Dataset, answers: Answers
) -> None:
    """A task that the table does not know gets what every result can show."""
    subject = Subject(trained=trained, dataset=dataset, answers=answers)
    assert {"answers", "confusion", "calibration"} <= set(headings(report_page.html(subject)))
    own = replace(answers, task=Classify(answers.task.classes, name="mine"))
    found = headings(report_page.html(replace(subject, answers=own)))
    assert [name for name in found if name != "remarks"] == ["mistakes", "classes", "samples", "facts"]


@pytest.mark.parametrize(("confidence", "lean"), [(0.8, "more sure"), (0.6, "less sure")])
def test_whether_it_is_more_sure_than_right(confidence: float, lean: str) -> None:
    words = calibration.said(0.1, confidence, 0.7, 15)
    assert f"it is {lean} than it is right" in words
    assert "10.00 points apart" in words


def test_thumbnails() -> None:
    small = np.arange(64 * 3 * 5, dtype=np.uint8).reshape(3, 64, 5)
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(markup.thumbnail(small)))), small.transpose(1, 2, 0)
    )
    large = np.full((3, 400, 800), 77, np.uint8)
    png = markup.thumbnail(large)
    seen = Image.open(io.BytesIO(png))
    assert (seen.format, seen.size) == ("JPEG", (192, 96))
    assert abs(int(np.asarray(seen).mean()) - 77) <= 1
    assert markup.data_uri(png).startswith("data:image/jpeg;base64,/9j/")
