"""Facts: versions, machine and data, as they were when the training began; and the files not used."""

from __future__ import annotations

from collections.abc import Iterator

from neocog.report.section import Section, fill
from neocog.report.subject import Subject

MOST_SKIPPED = 200
"""Skipped files in their list."""

SAID = {
    "begun": "begun",
    "neocog": "neocog",
    "torch": "torch",
    "python": "Python",
    "device": "device",
    "device_name": "processor",
    "threads": "threads",
    "precision": "precision",
    "data_fingerprint": "fingerprint of the data",
    "recipe_identity": "identity of the recipe",
}
"""Keys of `facts.json` that are shown, and what they are called."""


def facts(subject: Subject) -> Section:
    """What is known of how the network came to be, and which files were found and not used."""
    skipped = subject.dataset.skipped
    body = fill(
        "facts",
        facts=tuple(_known(subject)),
        skipped=tuple((s.path, s.reason) for s in skipped[:MOST_SKIPPED]),
        more_skipped=max(0, len(skipped) - MOST_SKIPPED),
    )
    return Section("facts", "Facts", body)


def _known(subject: Subject) -> Iterator[tuple[str, str]]:
    yield "pictures become input", subject.trained.preprocess.describe()
    for key, name in SAID.items():
        if subject.facts.get(key) is not None:
            yield name, str(subject.facts[key])
    if "epoch" in subject.trained.provenance:
        yield "weights kept", f"those after epoch {subject.trained.provenance['epoch']}"
