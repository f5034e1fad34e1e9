"""The chapters' trainings in Keras, whose code they are written in: what its figures come to on these files.

    python bench/keras_chapters.py --peer PYTHON [--only NAME ...] [--seeds N]
    python bench/keras_chapters.py --peer PYTHON --begin c3 --epochs 4 --run runs/figures/c3-...

PYTHON is an environment with Keras 3 on TensorFlow. Each named recipe's pictures, network (as Keras' JSON,
with Keras' own initial weights) and optimizer go over as they are; Keras trains as long, keeps the epoch that
the recipe keeps, and is measured on the same test pictures. Its share stands beside ours wherever ours is
worse than the published one: is it the pictures and the draw, or is it us? Written to
results/keras_chapters.json after each recipe, so that a run that is cut short keeps what it has; RESULTS.md
takes them from there. --begin trains the first epochs alone of what takes Keras hours, and puts its accuracy
on the test pictures after each beside that of neocog's run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neocog.data.augment.augment import Augment

RECIPES = ("m2", "m3", "m4", "e2", "e3", "e7", "c0", "c4", "c5", "c7")
"""Those whose figure is below the published one here."""
DRAWS = 10
"""Of E2 and E3, which are trained on 500 pictures that a seed draws; the others are trained once."""
OPTIMIZERS = {"sgd": "SGD", "momentum": "SGD", "adadelta": "Adadelta", "adam": "Adam", "rmsprop": "RMSprop"}
RESULTS = Path(__file__).parent.parent / "results" / "keras_chapters.json"


# In the peer's environment


def learn(folder: Path) -> None:
    """Train what lies in `folder`, and leave there the accuracy on the test pictures, and the last one that
    Keras prints of the training.
    """
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1")
    import keras
    import numpy as np
    import tensorflow
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    asked = json.loads((folder / "asked.json").read_text())
    keras.utils.set_random_seed(asked["seed"])
    arrays = dict(np.load(folder / "pictures.npz"))
    model = keras.models.model_from_json((folder / "net.json").read_text())
    optimizer = getattr(keras.optimizers, asked["optimizer"])(**asked["settings"])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    best = keras.callbacks.ModelCheckpoint(
        str(folder / "best.weights.h5"),
        monitor="val_accuracy",
        save_best_only=True,
        save_weights_only=True,
    )
    more: dict[str, Any] = {"epochs": asked["epochs"], "verbose": 0, "shuffle": asked["shuffle"]}
    if asked["watched"]:
        more["validation_data"] = (arrays["test_x"], arrays["test_y"])
    elif asked["best"]:
        more |= {"validation_data": (arrays["val_x"], arrays["val_y"]), "callbacks": [best]}
    x, y, batch = arrays["train_x"], arrays["train_y"], asked["batch"]
    if asked["augment"]:
        flow = ImageDataGenerator(**asked["augment"]).flow(x, y, batch_size=batch, seed=asked["seed"])
        log = model.fit(flow, **more)
    else:
        log = model.fit(x, y, batch_size=batch, **more)
    if "callbacks" in more:
        model.load_weights(folder / "best.weights.h5")
    found = {
        "test": float(model.evaluate(arrays["test_x"], arrays["test_y"], batch_size=500, verbose=0)[1]),
        "printed": float(log.history["accuracy"][-1]),
        "watched": [float(share) for share in log.history.get("val_accuracy", [])],
        "versions": {"keras": keras.__version__, "tensorflow": tensorflow.__version__},
    }
    (folder / "found.json").write_text(json.dumps(found))


# In neocog's


def hand_over(name: str, seed: int, folder: Path, *, epochs: int | None = None) -> None:
    """Write to `folder` what Keras needs to train the recipe `name` under `seed`; `epochs`: the first ones
    alone, watched.
    """
    import numpy as np

    from neocog.data import load
    from neocog.recipes.chapters import RECIPES as ALL
    from neocog.recipes.recipe import override
    from neocog.training.loop import prepare
    from neocog.verbs.weights import weights
    from neocog.world import find

    recipe = override(ALL[name], [f"seed={seed}", f"data.seed={seed}"])
    job = prepare(recipe, load(recipe.data), find("cpu", "float32"))
    (phase,) = recipe.phases
    weights(job.trained).save(folder / "net.json")
    arrays = {}
    for part in ("train", "val", "test"):
        split = job.dataset.splits.get(part)
        if split is not None:
            x = job.trained.preprocess.normalise(split.x.float())
            arrays[f"{part}_x"], arrays[f"{part}_y"] = np.moveaxis(x.numpy(), 1, -1), split.y.numpy()
    np.savez(folder / "pictures.npz", **arrays)
    optim = phase.optim
    settings: dict[str, Any] = {"learning_rate": optim.rate}
    if optim.kind == "momentum":
        settings["momentum"] = optim.momentum
    asked = {
        "seed": seed,
        "epochs": epochs or phase.epochs,
        "watched": epochs is not None,
        "batch": recipe.batch,
        "shuffle": recipe.order != "as given",
        "best": recipe.stop.select == "best" and job.dataset.val is not None,
        "optimizer": OPTIMIZERS[optim.kind],
        "settings": settings,
        "augment": augmentation(phase.augment),
    }
    (folder / "asked.json").write_text(json.dumps(asked))


def augmentation(asked: Augment) -> dict[str, Any]:
    """What Keras' ImageDataGenerator is told for the moves that the chapters ask for; empty for none."""
    if asked.is_off:
        return {}
    shifts = {"height": asked.shift_height, "width": asked.shift_width}
    return {
        "rotation_range": asked.rotation,
        **{f"{side}_shift_range": amount if amount < 1 else int(amount) for side, amount in shifts.items()},
        "horizontal_flip": asked.flip == "horizontal",
        "fill_mode": asked.fill,
    }


def ask(name: str, peer: str, seed: int, *, epochs: int | None = None) -> dict[str, Any]:
    """What Keras made of one training."""
    with tempfile.TemporaryDirectory() as place:
        hand_over(name, seed, Path(place), epochs=epochs)
        subprocess.run([peer, __file__, "--learn", place], check=True, stderr=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads((Path(place) / "found.json").read_text())
    return found


def begun(name: str, peer: str, epochs: int, run: Path) -> dict[str, Any]:
    """The first epochs of a recipe in Keras and in neocog's `run` of it."""
    from neocog.runs.run import open_run

    ours = [float(line["val_accuracy"]) for line in open_run(run).metrics()[:epochs]]
    found = ask(name, peer, 0, epochs=epochs)
    for n, (theirs, mine) in enumerate(zip(found["watched"], ours, strict=True), start=1):
        print(f"{name}, epoch {n}: Keras {100 * theirs:.2f} %, neocog {100 * mine:.2f} %", flush=True)
    return {"recipe": name, "keras": found["watched"], "neocog": ours, "versions": found["versions"]}


def measure(name: str, peer: str, seeds: int) -> dict[str, Any]:
    """Keras' shares of one recipe, one for each seed."""
    tests, printed, found = [], [], {}
    for seed in range(seeds):
        found = ask(name, peer, seed)
        tests.append(found["test"])
        printed.append(found["printed"])
        print(f"{name} seed {seed}: {100 * tests[-1]:.2f} % of the test pictures", flush=True)
    return {
        "recipe": name,
        "test": tests,
        "printed": printed,
        "versions": found["versions"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--only", nargs="*", default=RECIPES, choices=RECIPES)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--begin")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--learn", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.learn:
        learn(Path(options.learn))
        return

    from neocog.files import write_json

    document = json.loads(options.out.read_text()) if options.out.exists() else {"recipes": {}, "begun": {}}
    if options.begin:
        row = begun(options.begin, options.peer, options.epochs, options.run)
        document["begun"] = {**document.get("begun", {}), options.begin: row}
        write_json(options.out, document)
        return
    for name in options.only:
        row = measure(name, options.peer, options.seeds or (DRAWS if name in ("e2", "e3") else 1))
        document["recipes"] = dict(sorted({**document["recipes"], name: row}.items()))
        write_json(options.out, document)


if __name__ == "__main__":
    main()
