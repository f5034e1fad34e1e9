"""What saving costs: the share of a training's time that goes into writing its state and its model.

    NEOCOG_DATA=... python bench/saving.py [lenet-mnist c2 ...] [--epochs 2]

Every write counts that the training announces (`Saved`), the last one included. The target: 5 %.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import neocog
from neocog.events import Event, Saved

TARGET = 0.05


def share(recipe: str, epochs: int) -> tuple[float, int, float]:
    """Seconds that saving took, how often, and all seconds from the start to the report."""
    saved: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, Saved):
            saved.append(event.seconds)

    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        neocog.train(recipe, changes=[f"epochs={epochs}"], out=f"{folder}/run", watchers=[lambda run: hear])
        return sum(saved), len(saved), time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["digits", "lenet-mnist", "c2"])
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    for recipe in asked.recipes:
        saving, often, seconds = share(recipe, asked.epochs)
        print(
            f"{recipe}: {often} saves in {saving:.2f} s of {seconds:.1f} s, {saving / seconds:.1%} "
            f"(target {TARGET:.0%})"
        )


if __name__ == "__main__":
    main()
