"""What the running statistics of batch normalisation cost a network that was trained on augmented pictures.

    python bench/norm_statistics.py runs/figures/c3-...

The run's network, its weights as they are, on all test pictures: with the means and variances that the
training left; with those of a sample of its training pictures, augmented as in training, taken anew; and with
those of the same pictures as they are. Written to results/norm_statistics.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from turns import machine

from neocog.answers import collect
from neocog.data.batches import AUGMENT, stream
from neocog.files import write_json
from neocog.model import dataset_of, open_trained
from neocog.optim.norms import retaken
from neocog.runs.run import open_run

RESULTS = Path(__file__).parent.parent / "results" / "norm_statistics.json"
SAMPLE, BATCH = 10_000, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    asked = parser.parse_args()
    before = machine()
    run = open_run(asked.run)
    trained, augment = open_trained(run), run.recipe().phases[-1].augment
    pictures = dataset_of(trained)
    train, test = pictures.split("train"), pictures.split("test")
    drawn = torch.randperm(len(train), generator=stream(0, AUGMENT))[:SAMPLE]
    plain = [train.x[rows].float() for rows in torch.split(drawn, BATCH)]
    labels = torch.zeros(BATCH, dtype=torch.int64)
    moved = [
        augment(x.clone(), labels, len(pictures.classes), stream(1, AUGMENT, n))[0]
        for n, x in enumerate(plain)
    ]
    network = trained.network.train()

    def anew(batches: list[Tensor]) -> nn.Module:
        inputs = map(trained.preprocess.normalise, batches)
        return retaken(network, inputs, taught=network, learner=lambda whole: whole)

    ways = {
        "as trained": network,
        "of augmented pictures": anew(moved),
        "of pictures as they are": anew(plain),
    }
    found = {}
    for way, normed in ways.items():
        right = collect(replace(trained, network=normed), test, "test", torch.device("cpu")).right
        found[way] = float(right.float().mean())
        print(f"statistics {way}: {100 * found[way]:.2f} % of the test pictures", flush=True)
    write_json(RESULTS, {"run": asked.run.name, "sample": SAMPLE, "accuracy": found, "machine": before})


if __name__ == "__main__":
    main()
