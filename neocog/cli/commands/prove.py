"""prove on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import DEVICE, Option

COMMAND = Command(
    about="Replay what a figure hangs on: pictures, weights, preprocessing, answers, count, interval.",
    example="neocog prove runs/mnist; neocog prove M9 --results results",
    options={
        "what": Option(help="A run's folder, a model file, or the id of an experiment."),
        "replay": Option(
            flag="--retrain", kind="switch", sets="training", help="Train the recipe again too."
        ),
        "results": Option(kind="path", help="The folder that neocog reproduce --out wrote."),
        "runs": Option(kind="path", help="The folder of its trainings (default: runs/figures)."),
        "device": DEVICE,
    },
)
