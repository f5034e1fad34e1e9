"""Questions that people asked about networks that cannot be: is the accepted answer among the doctor's cures?

    python bench/questions.py [--all]

Each question is a network with the fault that a public thread describes, made small from what was posted
there, the message that its author saw, and the answer that helped him, as a pattern over the doctor's cures.
Most threads show a fragment only, so that the network around it is ours; where no thread is named, the kind
is one that we know and no copy of a post. Cures are what `summary` offers after "any one of these works", and
a remark of it where the network as such can be. Prints a line for each, with --all the cures too, and the
share; writes results/questions.json. Exits with 4 below NEEDED.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from questions_posted import QUESTIONS, Question
from torch import nn

from neocog.errors import NeocogError
from neocog.inside.shape_doctor import built, require_answers
from neocog.verbs.summary import summary
from neocog.zoo import Model
from neocog.zoo.layer_list import parse

NEEDED = 40
RESULTS = Path(__file__).parent.parent / "results" / "questions.json"


def said(question: Question) -> str:
    """What the product says of the network: its refusal, or the notes under its summary."""
    if callable(question.network):
        return _of_module(question.network(), question.shape)
    layers = parse(question.network)
    if question.classes:
        channels, sizes = question.shape[-1], question.shape[:-1]
        try:
            network = built(Model(layers=layers), shape=(channels, *sizes), classes=len(question.classes))
            require_answers(network, shape=(channels, *sizes), classes=question.classes)
        except NeocogError as error:
            return str(error)
        return ""
    path = Path(f"/tmp/neocog-question-{abs(hash(question.what))}.json")
    path.write_text(json.dumps({"layers": question.network}))
    try:
        return str(summary(path, input=question.shape).text().rpartition("note:")[2])
    except NeocogError as error:
        return str(error)
    finally:
        path.unlink()


def _of_module(network: nn.Module, shape: tuple[int, ...]) -> str:
    try:
        return " ".join(summary(network, input=shape).remarks)
    except NeocogError as error:
        return str(error)


def cures(text: str) -> list[str]:
    """The cures of a refusal; the whole text where it has no list of them."""
    _, found, listed = text.partition("any one of these works: ")
    return listed.split(" | ") if found else [text]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="print the cures of every question")
    asked = parser.parse_args()
    rows = []
    for question in QUESTIONS:
        offered = cures(said(question))
        right = any(re.search(question.answer, cure) for cure in offered)
        rows.append({"what": question.what, "seen": question.seen, "among": right, "cures": offered})
        print(f"{'yes' if right else 'NO ':4}{question.what}", flush=True)
        if asked.all or not right:
            print("      wanted", question.answer, *offered, sep="\n      ")
    share, threads = sum(row["among"] for row in rows), sum(bool(row["seen"]) for row in rows)
    print(
        f"{share} of {len(rows)} answers are among the cures; {threads} of the kinds are from public threads"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if share >= NEEDED else 4


if __name__ == "__main__":
    sys.exit(main())
