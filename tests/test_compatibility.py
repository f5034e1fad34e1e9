"""What neocog wrote at commit a0c3f0b is read today: runs, model files, recipes, caches of decoded pictures.
Everything lies in `a0c3f0b/`, whose `make.py` says how it came to be.

Where processor, threads and versions are those of then, figures and weights are the same to the last bit.
Elsewhere the sums of a convolution are added in another order: then they are close, see `CLOSE`.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import neocog
from neocog import sealed
from neocog.cli import run as command
from neocog.data.folders import picture_cache
from neocog.data.own import open_own
from neocog.errors import UsageError
from neocog.model import load, open_trained
from neocog.recipes.recipe import from_json
from neocog.runs.run import Run

THEN = Path(__file__).parent / "a0c3f0b"
SAID: dict[str, Any] = json.loads((THEN / "said.json").read_text())
FACTS: dict[str, Any] = json.loads((THEN / "finished" / "facts.json").read_text())
CLOSE = 1e-4
"""On another machine: relative, or absolute below 1. Rounding grows over the 37 steps that the resume does:
to 1e-7 with AVX2 or plain kernels in place of AVX512, to 9e-7 with two threads in place of one."""


def same_machine() -> bool:
    """Whether equal bits can be asked for: processor, its instructions, torch, Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    now = {"processor": processor, "capability": torch.backends.cpu.get_cpu_capability()}
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return now == SAID["machine"] and all(FACTS[key] == value for key, value in versions.items())


EXACT = same_machine()


@pytest.fixture(autouse=True)
def _threads_of_then() -> Iterator[None]:
    """Sums are cut at the threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(FACTS["threads"])
    yield
    torch.set_num_threads(before)


@pytest.fixture
def then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of everything, as the current folder."""
    shutil.copytree(THEN, tmp_path / "then")
    monkeypatch.chdir(tmp_path / "then")
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path / "home"))
    return tmp_path / "then"


def like(now: Any, before: Any, at: str = "") -> None:
    """The JSON of today is that of then: the same values under the same keys, numbers as close as the machine
    allows. Keys may be added."""
    if isinstance(before, dict):
        assert before.keys() <= now.keys(), at
        for key, value in before.items():
            like(now[key], value, f"{at}.{key}")
    elif isinstance(before, list):
        assert len(now) == len(before), at
        for number, (one, other) in enumerate(zip(now, before)):
            like(one, other, f"{at}[{number}]")
    elif isinstance(before, float) and not EXACT:
        assert math.isclose(now, before, rel_tol=CLOSE, abs_tol=CLOSE), f"{at}: {now}, was {before}"
    else:
        assert now == before, at


def alike(now: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> None:
    """The tensors of today are those of then."""
    assert now.keys() == before.keys()
    for name, tensor in before.items():
        if EXACT:
            assert torch.equal(now[name], tensor), name
        else:
            assert torch.allclose(now[name].double(), tensor.double(), rtol=CLOSE, atol=CLOSE), name


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("evaluate finished", "evaluate finished"),
        ("evaluate finished val", "evaluate finished --split val"),
        ("predict finished", "predict finished --split test --index 0,17,200"),
        ("predict finished files", "predict finished pictures/00.png pictures/03.png"),
        ("evaluate label sets", "evaluate label_sets.model.safetensors --data pictures"),
        ("predict label sets", "predict label_sets.model.safetensors pictures/01.png"),
    ],
)
def test_the_same_json_is_printed(
    then: Path, name: str, argv: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([*argv.split(), "--json"]) == 0
    like(json.loads(capsys.readouterr().out), SAID["answers"][name])


def test_a_run_is_opened(then: Path) -> None:
    run = Run(Path("finished"))
    like(run.json(), SAID["answers"]["train"])
    assert "(done)" in run.text()
    assert [m["epoch"] for m in run.metrics()] == list(range(1, 9))
    document = json.loads(run.recipe_file.read_text())
    assert run.recipe().json() == document, "a recipe says today what it said then"
    assert run.recipe().identity == FACTS["recipe_identity"]
    assert from_json(document) == run.recipe()
    for left_out in (run.report_file, run.curves_file):  # by make.py, to save room
        left_out.touch()
    with pytest.raises(UsageError, match="is finished"):
        neocog.resume(run.path)


def test_an_interrupted_run_goes_on_to_the_same_end(then: Path) -> None:
    cut, whole = Run(Path("interrupted")), Run(Path("finished"))
    assert cut.saved()["step"] == 27
    neocog.resume(cut.path)
    alike(sealed.read(cut.model_file)[0], sealed.read(whole.model_file)[0])
    alike(sealed.read(cut.state_file)[0], sealed.read(whole.state_file)[0])
    timed = {"seconds", "pictures_per_second"}
    for now, before in zip(cut.metrics(), whole.metrics(), strict=True):
        like(*({k: v for k, v in m.items() if k not in timed} for m in (now, before)))
    result = cut.facts()["result"]
    like(result, FACTS["result"])


def test_a_finished_run_takes_more_epochs(then: Path) -> None:
    more = neocog.resume("finished", epochs=9)
    assert len(more.metrics()) == 9
    assert more.recipe().epochs == 9


@pytest.mark.parametrize("path", ["finished/model.safetensors", "label_sets.model.safetensors"])
def test_a_model_file_is_read(path: str) -> None:
    trained = load(THEN / path)
    before = json.loads((THEN / path).with_suffix(".json").read_text())
    like(json.loads(json.dumps(trained.document())), before)
    alike(trained.network.state_dict(), sealed.read(THEN / path)[0])
    assert open_trained(THEN / path).classes == tuple(before["classes"])


def entry() -> Path:
    """The pixels that were decoded then."""
    (found,) = (THEN / "cache").glob("*.u8")
    return found


def test_the_key_of_a_cache_is_the_one_of_then() -> None:
    before = SAID["cache"]
    listing = open_own(THEN / "pictures").listing
    items = tuple(item._replace(stamp=before["stamps"][item.path]) for item in listing.items)
    moved = type(listing)(
        **{
            **{name: getattr(listing, name) for name in listing.__dataclass_fields__},
            "root": Path(before["root"]),
            "items": items,
        }
    )
    preprocess = load(THEN / "label_sets.model.safetensors").preprocess
    assert picture_cache._key(moved, preprocess) == entry().stem


def test_a_cache_of_then_is_read_without_decoding(
    then: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listing = open_own(then / "pictures").listing
    preprocess = load(THEN / "label_sets.model.safetensors").preprocess
    anew = picture_cache.decoded(listing, preprocess)
    pixels = anew.take(torch.arange(len(anew.rows))).clone()
    assert torch.equal(pixels.flatten(), torch.frombuffer(bytearray(entry().read_bytes()), dtype=torch.uint8))
    home = tmp_path / "home" / "pictures"
    for file in (entry(), entry().with_suffix(".json")):
        shutil.copy(file, home / f"{picture_cache._key(listing, preprocess)}{file.suffix}")

    def never(*given: object) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(picture_cache, "_pictures", never)
    kept = picture_cache.decoded(listing, preprocess)
    assert (kept.rows, kept.families, kept.skipped) == (anew.rows, anew.families, anew.skipped)
    assert torch.equal(kept.take(torch.arange(len(kept.rows))), pixels)


def test_the_fixture_stays_small() -> None:
    sizes = [path.stat().st_size for path in THEN.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(sizes) < 100_000
