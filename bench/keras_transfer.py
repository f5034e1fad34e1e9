"""The same layers freed by neocog and by Keras: Inception V3 for 200 classes, from a file that Keras wrote.

    python bench/keras_transfer.py --peer PYTHON

PYTHON is an environment with Keras 3 on TensorFlow. Keras draws lively weights for keras.applications'
InceptionV3 with 200 classes, writes them as .h5 together with its logits for two random inputs, freezes its
layers before index 249, as its documentation has it, and writes the weights of those that still learn. neocog
reads the file, frees what comes after mixed8, and is compared by values, not by names: every tensor that
learns in Keras must be one that learns here and the other way round. Keras' normalisations have no scale;
neocog's have one, which is left out. A training of one step then shows which tensors move. The counts and the
largest difference of a logit, as a share of the largest |logit|, are written to results/keras_transfer.json.
Exits with 4 where the sets differ, anything else moved, or logits differ by more than the tolerance.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from keras_parity import TOLERANCE, _enliven, _keras, _save_legacy_weights, _versions

FREED_FROM, STAGE = 249, "mixed8"
"""The index in Keras' list of layers, and the last stage that is frozen here."""
CLASSES, SIDE, BATCH = 200, 299, 4
RESULTS = Path(__file__).parent.parent / "results" / "keras_transfer.json"


def draw(folder: Path) -> None:
    """In the peer's environment: the weights, logits for two inputs, and the weights that learn."""
    import numpy as np

    keras = _keras()
    model = keras.applications.InceptionV3(weights=None, classes=CLASSES, classifier_activation=None)
    _enliven(model, 0)
    x = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 3)).astype("float32")
    np.savez(folder / "answer.npz", x=x, logits=model.predict(x, verbose=0))
    _save_legacy_weights(model, folder / "inception.h5")
    for number, layer in enumerate(model.layers):
        layer.trainable = number >= FREED_FROM
    learning = [variable for layer in model.layers[:-1] for variable in layer.trainable_weights]
    np.savez(folder / "learning.npz", *[variable.numpy() for variable in learning])
    _versions(folder)


def measure(peer: str) -> dict[str, Any]:
    """Let Keras write, read it, free the same, train one step, and compare."""
    import numpy as np
    import torch

    from neocog.data import Data
    from neocog.data.dataset import Dataset, Split
    from neocog.model import open_trained
    from neocog.optim.settings import Optim
    from neocog.pictures.preprocess import Preprocess
    from neocog.recipes.recipe import Phase, Recipe, Stop
    from neocog.runs.beginning import write as begin
    from neocog.runs.run import Run
    from neocog.training.loop import prepare
    from neocog.transfer.start import borrowed
    from neocog.world import find
    from neocog.zoo import Head

    draws = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=draws)
    names = tuple(f"c{k:03}" for k in range(CLASSES))
    data = Dataset("noise", names, Split(pictures, torch.arange(BATCH)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([peer, __file__, "--draw", place], check=True, stderr=subprocess.DEVNULL)
        answer = np.load(folder / "answer.npz")
        kept = np.load(folder / "learning.npz")
        theirs = [kept[name] for name in kept.files]
        eyes = borrowed(open_trained("inception_v3", folder / "inception.h5"))
        network = eyes.trained.network.eval()
        with torch.inference_mode():
            logits = network(torch.from_numpy(answer["x"].transpose(0, 3, 1, 2).copy())).numpy()
        recipe = Recipe(
            data=Data(), model=eyes.trained.model.model_copy(update={"head": Head()}), start=eyes.start,
            preprocess=Preprocess(scale="128", size=(SIDE, SIDE)), batch=BATCH, stop=Stop(select="last"),
            phases=(Phase(epochs=1, optim=Optim(kind="momentum", lr=1e-3), freeze=STAGE),),
            precision="float32",
        )  # fmt: skip
        job = prepare(recipe, data, find("cpu", "float32"), start=eyes)
        job.free(recipe.phases[0])
        ours = {n: p.detach().clone() for n, p in job.trained.network.features.named_parameters()}
        learns = {n for n, p in job.trained.network.features.named_parameters() if p.requires_grad}
        before = {n: t.clone() for n, t in job.trained.network.state_dict().items()}
        run = Run(folder / "run")
        run.path.mkdir()
        begin(run, recipe, {})
        for _ in job.events(run, stop=lambda: False):
            pass
        after = job.trained.network.state_dict()
        versions = json.loads((folder / "versions.json").read_text())
    modules = dict(job.trained.network.features.named_modules())
    scales = {n for n in ours if n.endswith(".weight") and hasattr(modules[n[:-7]], "running_mean")}
    wanted = {_digest(torch.from_numpy(_as_ours(array))) for array in theirs}
    found = {_digest(ours[name]) for name in learns - scales}
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    free = {name.rpartition(".")[0] for name in learns}
    others = [n for n in moved if n.startswith("features.") and n[9:].rpartition(".")[0] not in free]
    still = [n for n in learns if f"features.{n}" not in moved]
    difference = float(np.abs(logits - answer["logits"]).max() / np.abs(answer["logits"]).max())
    same = wanted == found and len(wanted) == len(theirs)
    return {
        "classes": CLASSES, "tensors_that_learn_in_keras": len(theirs), "the_same_learn_in_neocog": same,
        "numbers_that_learn": int(sum(array.size for array in theirs)),
        "scales_left_out": len(scales & learns),
        "frozen_that_moved": len(others), "free_that_did_not": len(still),
        "logits": float(f"{difference:.3g}"),
        "ok": same and not others and not still and difference <= TOLERANCE, "peer": versions,
    }  # fmt: skip


def _as_ours(array: Any) -> Any:
    """A kernel of Keras (height, width, in, out) in torch's order."""
    return array.transpose(3, 2, 0, 1).copy() if array.ndim == 4 else array


def _digest(tensor: Any) -> bytes:
    return bytes(tensor.contiguous().numpy().tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        draw(options.draw)
        return 0
    import torch

    from neocog._version import __version__
    from neocog.files import write_json

    row = measure(options.peer)
    print(json.dumps(row, indent=1))
    ours = {"neocog": __version__, "torch": torch.__version__}
    write_json(RESULTS, {"tolerance": TOLERANCE, "ours": ours, **row})
    return 0 if row["ok"] else 4


if __name__ == "__main__":
    sys.exit(main())
