"""The chapters' trainings in Keras, whose code they are written in: what its figures come to on these files.

    python bench/keras_chapters.py --peer PYTHON [--only NAME ...] [--seeds N]

PYTHON is an environment with Keras 3 on TensorFlow. Each named recipe's pictures, network (as Keras' JSON,
with Keras' own initial weights) and optimizer go over as they are; Keras trains as long, keeps the epoch that
the recipe keeps, and is measured on the same test pictures. Its share stands beside ours wherever ours is
worse than the published one: is it the pictures and the draw, or is it us? Written to
results/keras_chapters.json after each recipe, so that a run that is cut short keeps what it has; RESULTS.md
takes them from there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RECIPES = ("m2", "m3", "m4", "e2", "e3", "e7", "c0", "c4", "c7")
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
    if asked["best"]:
        more |= {"validation_data": (arrays["val_x"], arrays["val_y"]), "callbacks": [best]}
    x, y, batch = arrays["train_x"], arrays["train_y"], asked["batch"]
    if asked["augment"]:
        flow = ImageDataGenerator(**asked["augment"]).flow(x, y, batch_size=batch, seed=asked["seed"])
        log = model.fit(flow, **more)
    else:
        log = model.fit(x, y, batch_size=batch, **more)
    if asked["best"]:
        model.load_weights(folder / "best.weights.h5")
    found = {
        "test": float(model.evaluate(arrays["test_x"], arrays["test_y"], batch_size=500, verbose=0)[1]),
        "printed": float(log.history["accuracy"][-1]),
        "versions": {"keras": keras.__version__, "tensorflow": tensorflow.__version__},
    }
    (folder / "found.json").write_text(json.dumps(found))


# In neocog's


def hand_over(name: str, seed: int, folder: Path) -> None:
    """Write to `folder` what Keras needs to train the recipe `name` under `seed`."""
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
    moved = phase.augment
    asked = {
        "seed": seed,
        "epochs": phase.epochs,
        "batch": recipe.batch,
        "shuffle": recipe.order != "as given",
        "best": recipe.stop.select == "best" and job.dataset.val is not None,
        "optimizer": OPTIMIZERS[optim.kind],
        "settings": settings,
        "augment": {}
        if moved.is_off
        else {"height_shift_range": int(moved.shift_height), "horizontal_flip": True},
    }
    (folder / "asked.json").write_text(json.dumps(asked))


def measure(name: str, peer: str, seeds: int) -> dict[str, Any]:
    """Keras' shares of one recipe, one for each seed."""
    tests, printed, found = [], [], {}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            hand_over(name, seed, Path(place))
            subprocess.run([peer, __file__, "--learn", place], check=True, stderr=subprocess.DEVNULL)
            found = json.loads((Path(place) / "found.json").read_text())
        tests.append(found["test"])
        printed.append(found["printed"])
        print(f"{name} seed {seed}: {100 * tests[-1]:.2f} % of the test pictures", flush=True)
    return {
        "recipe": name,
        "test": tests,
        "test_mean": statistics.fmean(tests),
        "printed": printed,
        "printed_mean": statistics.fmean(printed),
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
    parser.add_argument("--learn", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.learn:
        learn(Path(options.learn))
        return

    from neocog.files import write_json

    rows = json.loads(options.out.read_text())["recipes"] if options.out.exists() else {}
    for name in options.only:
        row = measure(name, options.peer, options.seeds or (DRAWS if name in ("e2", "e3") else 1))
        rows[name] = row
        write_json(options.out, {"recipes": dict(sorted(rows.items()))})


if __name__ == "__main__":
    main()
