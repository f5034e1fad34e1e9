"""Every case of a folder is run and held against what is right: `python bench/cases.py FOLDER [NAME ...]`.

A case is a folder with a `run.sh`, which uses the `neocog` in N. The folder is copied first, and imports from
modules that have another place today are adapted in the copy (MOVED). A row a case is printed; the exit code
is 1 where anything differs, or where nobody has said in EXPECTED what is right of a case. No case may print a
traceback. What else is right stands in EXPECTED: patterns that its output has, in this order, and those that
it has not (with a ! before them). `--keep FOLDER` leaves what each case printed in FOLDER/NAME.txt.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 1800
MOVED = {"neocog.image": "neocog.pictures.decode"}
"""Modules of the version that the cases were written for, and where their names are now."""
ASKED = {"data-23-left-right": ("--epochs 1", "--epochs 1 --from nothing")}
"""What a case's command has to ask for today that was the default. 23: few photos are learnt from borrowed
features, computed once of the pictures as they are; nothing is mirrored, and nothing is said of it.
"""
TRACEBACK = r"Traceback|refused"
"""Expected of a case that calls neocog from Python and catches nothing."""
BEFORE_THE_END = r"(?:(?!exit code).*\n)*?.*"
"""Lines of one command, the last of them begun."""
EXPECTED: dict[str, tuple[str, ...]] = {
    "data-03-resume-batch-size": (
        r"6 epochs in .*\(done\)",
        r"exit code 0",
        *(rf'"epoch": {n},' for n in range(1, 7)),
        r"6 epochs in .*\(done\)",
        r"exit code 0",
        r"!8 epochs",
    ),
    "data-04-refused-resume-rewrites-recipe": (
        r'"epochs": 300,\n.*"lr": 0.003',
        r"another process is training",
        r"exit code 2",
        r'"epochs": 300,\n.*"lr": 0.003',
        r"error: interrupted; the state is saved",
        r"z: 300 epochs in .*\(done\)",
        r"exit code 0",
    ),
    "data-05-failed-resume-bricks-run": (r"z: 3 epochs", r"exit code 0", r"y: 3 epochs", r"exit code 0"),
    "data-06-out-replaces-device": (
        r"exit code 2\n.*exit code 2\n.*exit code 3",  # null and pipe have no picture's suffix
        r"link.png -> real.png",
        r"\nc.* null",
        r"\np.* pipe",
    ),
    "data-07-not-writable-traceback": (r"(error: cannot .*\nexit code 3\n[^E]*){5}",),
    "data-01-runs-become-a-class": (
        r"evaluate runs/pets\n(.*\n)*?exit code 0",
        r"runs/pets: 2 epochs",
        r"exit code 0",
        r"--split test\n(.*\n)*?exit code 0",
        r"^all +6",
        r"!does not know",
        r"!^runs +\d",
    ),
    "data-02-empty-means-here": (
        r"^wanted.jpg: ",
        r"(\$ neocog .*\nerror: an argument is empty.*\nexit code 2\n(rm: .*\n)?){5}",
        r"^cat/0.jpg: (cat|dog)",
        r"!^other/",
        r"!recipe.json",
    ),
    "data-08-links": (r"look a\n", r"look b\n", r"^cat +3", r"^dog +3", r"!^error:", r"!no classes: cat"),
    "data-09-left-out-without-a-word": (
        rf"--out ra\n{BEFORE_THE_END}\bowl\b",
        rf"--out rb\n{BEFORE_THE_END}(cut off|damaged)",
        rf"predict ra m .*\n{BEFORE_THE_END}HEIC",
        rf"evaluate ra --data b\n{BEFORE_THE_END}(cut off|damaged)",
    ),
    "data-11-sixteen-bits": (r"16 bits|16-bit|range", r"exit code 0", r"!spread 0"),
    "data-12-white-on-transparent": (r"(one.*: .*\n +note: .*transparency.*ground=0\n){3}", r"exit code 0"),
    "data-13-tiff-kinds": (r"exit code", r"!damaged", r"!0x[0-9a-f]{6}"),
    "data-14-phone-48-megapixels": (r"p: 1 epoch in .*\(done\)", r"exit code 0"),
    "data-15-csv-hash-names": (r"9 files found = 8 used", r"exit code 0", r"used", r"exit code 0"),
    "data-16-csv-several-labels": (r"(?s)(\n(clear +\d|[^\n]*several labels).*){3}",),
    "data-17-csv-names": (
        rf"ending-case\n{BEFORE_THE_END}(used|p0\.jpg)",
        rf"name-case\n{BEFORE_THE_END}(used|p0\.jpg)",
        rf"zeros-lost\n{BEFORE_THE_END}(used|zero)",
        rf"look a\n{BEFORE_THE_END}used",
    ),
    "data-19-float-labels": (r"^cat +3", r"^dog +3", r"exit code 0"),
    "data-20-eadir": (r"^all +12", r"exit code 0", r"!^@eaDir"),
    "data-21-odd-encodings": (
        r"--epochs 1 -q --out run\n.*\nexit code 0",
        r"recipe.json",
        r"(\$ neocog .*\n(?!error).*\nexit code 0\n){3}",
        r"!UnicodeEncodeError",
    ),
    "data-23-left-right": (r"(--- .*\nflip=.*\n){4}", r"!error"),
    "data-24-batch-of-one": (r"batch", r"exit code [25]"),
    "data-25-predict-words": (
        r"https:.*(download|address)",
        r"exit code 3",
        r"\*\.jpg\n(.*\n)*?exit code 0",
        r"exit code 0",
    ),
    "fault-damaged-run-breaks-list": (
        r"runs/a .*\n.*runs/b",
        r"exit 0",
        r"runs/a ",
        r"exit 0",
        r"error: .*\nexit 3",
    ),
    "fault-disk-full-training": (
        r"error: cannot write .*No space.*\nexit 3",
        r"3 epochs in .*\(done\)",
        r"3 m/run/metrics",
    ),
    "fault-kill-before-first-save": (r"r: 2 epochs", r"2 r/metrics.jsonl", r"q: 2 epochs in .*\(done\)"),
    "fault-killed-between-result-and-report": (r"run: 1 epoch in .*\(done\)", r"exit 0"),
    "fault-output-over-input": (
        r"([0-9a-f]{32})  in.png",
        r"error: in.png is read by this command; choose another name",
        r"6b865421a4d04a60a431e4f19fd650c6  in.png",
        r"belongs to the run",
        r"test: accuracy",
        r"among the pictures",
        r"!model.safetensors\n",
    ),
    "fault-power-loss-metrics": (r"r: 8 epochs", r"error: z is finished \(8 epochs\)"),
    "fault-read-only-or-unwritable": (r"(exit 3 \| .*error: .*\n){8}",),
    "fault-recipe-flip": (r"recipe.json was changed", r"exit 4"),
    "fault-refused-resume-rewrites-recipe": (r"exit 2", r"recipe untouched", r'"epochs": 60', r'!"lr": 0.5'),
    "fault-run-folder-removed": (r"error: the folder r was emptied, removed or renamed.*\nexit 3",),
    "fault-stderr-gone": (r"log on a full disk: exit 0", r"stderr closed: exit 0"),
    # Of task_multi `predict` cannot know: a head of ten answers suits either task, and nothing in the file
    # contradicts. `evaluate` sees that the file's own data set does, and refuses.
    "fault-hostile-model-files": (
        r"task_multi.safetensors evaluate exit 3",
        r"!^(?!task_multi.safetensors predict exit 0).* exit [0-24-9]",
    ),
    "fault-jpeg-half-grey": (TRACEBACK, r"UnreadableError|refused", r"!^accepted"),
    "fault-non-utf8-file-name": (
        r"^exit 0",
        r"^exit [03]",
        r"name too long: exit 3",
        r"!iconv:",
        r"!UnicodeEncodeError",
    ),
    "fault-npz": (r"^exit [2-5]", r"Maximum resident set size \(kbytes\): \d{1,6}$", r"!r: 1 epoch"),
    "fault-numbers-too-large": (
        r"(exit [2-8] \| .* \| *\n){4}",
        r"deeplist",
        r"!^exit 1 ",
        r"!\| .*(Error|Exception)",
    ),
    "fault-slow-and-fat-headers": (
        r"jpeg FF fill",
        r"ppm comments",
        r"!peak \+\d{3,}",
        r"!would be \d{4,} s",
    ),
    "net-batch-of-one-norm": (r"norm1 .*batch of 2",),
    "net-binary-sigmoid": (
        r"(pics/..\.png: class 0 \d\d\.\d %.*\n){6}",
        r"(pics/..\.png: .*\n){6}",
        r"!100(\.0)? ?%",
    ),
    "net-channels-first-input": (
        r"1x28x28.*\n(.*\n)*?.*28x28x1, the channels last",
        r"32x32x3, the channels last",
        r"write 224x224x3",
    ),
    "net-lenet5-macs": (r"c3.* 1,516 +150,000 ", r"parameters +60,000"),
    "net-linear-would-fit": (r"size mismatch, m1", r"nn\.Flatten\(\)", r"!nn\.Linear\(7200, 10\) would fit"),
    "net-module-crashes": (r"(\(8, 30, 30\)\n){3}",),
    "net-nan-weights": (r"(error: .*not finite.*\n){3}", r"!nan ?%"),
    "net-reflect-border": (r"error: .*cannot be mirrored", r"any one of these works"),
    "net-residual-add": (
        r"32 \(8, 16, 16\)",
        r"33 .*The size of tensor a \(17\) must match the size of tensor b \(16\)",
    ),
    "net-subclass-forward": (r"(ok   .*\n){14}", r"!^(WRONG|REFUSED)"),
    "net-summary-1d-3d": (
        r"\(3,\)",
        r"\(10,\)",
        r"\(4, 8, 56, 48\)",
        r"\(4, 14, 110, 110\)",
        r"\(4, 8, 64, 64\)",
    ),
    "net-units-differ-from-classes": (r"(units.* exit 5 error: the last layer gives .*\n.*\n){3}",),
}


def complaint(name: str, output: str) -> str:
    """What is wrong with the output of a case; nothing where it is right."""
    if "Traceback (most recent call last)" in output and TRACEBACK not in EXPECTED.get(name, ()):
        return "a traceback: " + output.rstrip().splitlines()[-1][:120]
    if name not in EXPECTED:
        return "nobody has said what is right (EXPECTED)"
    place = 0
    for pattern in EXPECTED[name]:
        if pattern.startswith("!"):
            if found := re.search(pattern[1:], output, re.MULTILINE):
                return f"has {found.group()[:90]!r}"
            continue
        found = re.compile(pattern, re.MULTILINE).search(output, place)
        if found is None:
            return f"lacks {pattern}"
        place = found.end()
    return ""


def output_of(script: Path, environment: dict[str, str]) -> str:
    """All that the case prints; what runs too long is ended, with all that it has started."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            ["bash", str(script)], env=environment, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(SECONDS)
            end = b""
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            end = f"\nTraceback (most recent call last): none, but it ran for {SECONDS} s\n".encode()
        out.seek(0)
        return (out.read() + end).decode(errors="replace")


def adapted(folder: Path, copy: Path) -> Path:
    """A copy of the cases in which what they import is found."""
    shutil.copytree(folder, copy, symlinks=True)
    for script in (*copy.glob("*/*.sh"), *copy.glob("*/*.py")):
        text = script.read_text()
        for old, new in MOVED.items():
            text = re.sub(rf"\b{re.escape(old)}\b", new, text)
        if script.parent.name in ASKED:
            text = text.replace(*ASKED[script.parent.name])
        script.write_text(text)
    return copy


def main(folder: Path, names: list[str], keep: Path | None) -> int:
    """A row for each case; 1 where one differs."""
    neocog = os.environ.get("N") or str(Path(sys.executable).parent / "neocog")
    python = os.environ.get("PY") or str(Path(neocog).parent / "python")
    environment = {**os.environ, "N": neocog, "PY": python}
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for script in sorted(adapted(folder, Path(scratch) / "cases").glob("*/run.sh")):
            name = script.parent.name
            if names and name not in names:
                continue
            begun = time.monotonic()
            output = output_of(script, environment)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}.txt").write_text(output)
            found = complaint(name, output)
            wrong += bool(found)
            verdict = f"DIFFERS: {found}" if found else "right"
            print(f"{name:45} {time.monotonic() - begun:6.1f} s  {verdict}", flush=True)
    print(f"{wrong} cases differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_intermixed_args()
    sys.exit(main(given.folder, given.names, given.keep))
