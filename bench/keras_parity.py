"""Same weights, same logits: files that Keras writes, read by neocog; and neocog's, read by Keras.

    python bench/keras_parity.py --peer PYTHON [--only NAME ...]

PYTHON is an environment with Keras 3 on TensorFlow. For each network of keras.applications it draws lively
weights (random statistics in every batch normalisation too), writes them in each layout and the logits for
two random inputs (classifier_activation=None); neocog loads each file. For Sequentials, Keras' JSON and
files are read by neocog, and neocog's JSON and files by Keras. The largest differences are written, as
shares of the largest |logit|, to results/keras_parity.json. Exits with 4 above the tolerance.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TOLERANCE = 1e-4
"""Of the largest |logit|."""
NETWORKS = {  # our name: Keras' class
    "vgg16": "VGG16", "vgg19": "VGG19", "inception_v3": "InceptionV3", "xception": "Xception",
    "resnet50-keras": "ResNet50", "densenet121": "DenseNet121", "densenet169": "DenseNet169",
    "densenet201": "DenseNet201", "mobilenet_v2": "MobileNetV2",
}  # fmt: skip
LAYOUTS = ("weights.h5", "whole.h5", "keras.weights.h5", "notop.h5")
RESULTS = Path(__file__).parent.parent / "results" / "keras_parity.json"


# In the peer's environment


def _keras() -> Any:
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1")
    import keras

    return keras


def _enliven(model: Any, seed: int) -> None:
    """Random weights that keep activations of order one, and random statistics of batch normalisation."""
    import numpy as np

    rng = np.random.default_rng(seed)
    for layer in model.layers:
        new = []
        for variable in layer.weights:
            shape, name = tuple(variable.shape), variable.name
            if "variance" in name or "gamma" in name:
                new.append(rng.uniform(0.5, 1.5, shape))
            elif "mean" in name or "beta" in name or "bias" in name:
                new.append(rng.normal(0, 0.2, shape))
            else:
                depthwise = "Depthwise" in type(layer).__name__ or "depthwise" in name
                inputs = np.prod(shape[:-2]) if depthwise else np.prod(shape[:-1])
                new.append(rng.normal(0, (2 / inputs) ** 0.5, shape))
        layer.set_weights([array.astype("float32") for array in new])


def draw_application(kind: str, folder: Path) -> None:
    """Write the weights of keras.applications.`kind` in every layout, an input (NHWC) and Keras' answers."""
    import numpy as np

    keras = _keras()
    side = 299 if kind in ("InceptionV3", "Xception") else 224
    make = getattr(keras.applications, kind)
    model = make(weights=None, classifier_activation=None)
    _enliven(model, 0)
    x = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype("float32")
    bare = make(weights=None, include_top=False, input_shape=(side, side, 3))
    _enliven(bare, 2)
    np.savez(folder / "answer.npz", x=x, logits=model.predict(x, verbose=0), maps=bare.predict(x, verbose=0))
    _save_legacy_weights(model, folder / "weights.h5")
    model.save(folder / "whole.h5")
    model.save_weights(folder / "keras.weights.h5")
    _save_legacy_weights(bare, folder / "notop.h5")
    _versions(folder)


def _save_legacy_weights(model: Any, path: Path) -> None:
    """The layout of the public files, which Keras 3 reads and no longer writes by itself."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def _versions(folder: Path) -> None:
    import keras
    import tensorflow

    versions = {"keras": keras.__version__, "tensorflow": tensorflow.__version__}
    (folder / "versions.json").write_text(json.dumps(versions))


def draw_sequential(kind: str, folder: Path) -> None:
    """Write a Sequential as JSON, whole model, weights and .keras, with an input and its logits."""
    import numpy as np

    keras = _keras()
    model = keras.Sequential(_sequentials(keras)[kind])
    _enliven(model, 0)
    shape = model.input_shape[1:]
    x = np.random.default_rng(1).normal(size=(4, *shape)).astype("float32")
    np.savez(folder / "answer.npz", x=x, logits=model.predict(x, verbose=0))
    (folder / "net.json").write_text(model.to_json())
    model.save(folder / "whole.h5")
    model.save_weights(folder / "keras.weights.h5")
    model.save(folder / "net.keras")
    _versions(folder)


def _sequentials(keras: Any) -> dict[str, list[Any]]:
    """Every kind of layer that neocog reads, in one, two and three dimensions; logits at the end."""
    L = keras.layers
    return {
        "pictures": [
            keras.Input((29, 27, 3)), L.Conv2D(8, 5, strides=2, padding="same", activation="relu"),
            L.BatchNormalization(), L.MaxPooling2D(3, strides=2, padding="same"), L.ZeroPadding2D(1),
            L.Conv2D(6, 3, dilation_rate=2, activation="tanh"),
            L.AveragePooling2D(2, padding="same"),
            L.Dropout(0.5), L.Flatten(), L.BatchNormalization(),
            L.Dense(20, activation="sigmoid"), L.Dense(10),
        ],
        "separable": [
            keras.Input((24, 24, 4)), L.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), L.ReLU(),
            L.SeparableConv2D(12, 3, strides=2, padding="same", activation="relu"),
            L.BatchNormalization(scale=False), L.Conv2D(8, (1, 3), use_bias=False), L.Activation("relu"),
            L.GlobalAveragePooling2D(), L.Dense(7),
        ],
        "signals": [
            keras.Input((50, 3)), L.Conv1D(8, 5, activation="relu"), L.MaxPooling1D(2),
            L.Conv1D(6, 4, strides=2, padding="same", activation="relu"), L.Flatten(), L.Dense(5),
        ],
        "volumes": [
            keras.Input((10, 12, 11, 2)), L.Conv3D(4, 3, activation="relu"), L.AveragePooling3D(2),
            L.GlobalMaxPooling3D(), L.Dense(3),
        ],
    }  # fmt: skip


def answer(folder: Path) -> None:
    """Let Keras read what neocog wrote to `folder`, and answer."""
    import numpy as np

    keras = _keras()
    x = np.load(folder / "ours.npz")["x"]
    found = {"whole": keras.models.load_model(folder / "net.h5", compile=False)}
    found["keras"] = keras.models.load_model(folder / "net.keras", compile=False)
    found["numbered"] = keras.models.model_from_json((folder / "net.json").read_text())
    found["numbered"].load_weights(folder / "net.weights.h5")
    np.savez(folder / "theirs.npz", **{key: model.predict(x, verbose=0) for key, model in found.items()})


# In neocog's


def share(found: Any, expected: Any) -> float:
    """The largest difference as a share of the largest |expected|."""
    import numpy as np

    return float(f"{np.abs(found - expected).max() / np.abs(expected).max():.3g}")


def _call(peer: str, *words: str) -> None:
    subprocess.run([peer, __file__, *words], check=True, stderr=subprocess.DEVNULL)


def measure_application(name: str, kind: str, peer: str) -> tuple[dict[str, Any], dict[str, str]]:
    import numpy as np
    import torch

    from neocog.pretrained import weights

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _call(peer, "--draw", "application", kind, place)
        answers = np.load(folder / "answer.npz")
        x = torch.from_numpy(answers["x"]).permute(0, 3, 1, 2).contiguous()
        row: dict[str, Any] = {"network": name, "keras": kind}
        for layout in LAYOUTS:
            published = weights.load(name, folder / layout)
            with torch.inference_mode():
                if layout == "notop.h5":
                    # what a classifier sees of them: single maps are clipped at 6 here and there and carry
                    # the rounding of float32, 1e-4, in Keras and here alike
                    row[layout] = share(published.network(x).numpy(), answers["maps"].mean((1, 2)))
                else:
                    row[layout] = share(published.network(x).numpy(), answers["logits"])
        row["identified_as"] = weights.identify(folder / "weights.h5")
        row["largest_logit"] = round(float(np.abs(answers["logits"]).max()), 4)
        row["same"] = all(row[layout] <= TOLERANCE for layout in LAYOUTS) and row["identified_as"] == name
        return row, json.loads((folder / "versions.json").read_text())


def measure_sequential(kind: str, peer: str) -> dict[str, Any]:
    """Keras' files read by neocog, and the same network written by neocog and read by Keras."""
    import numpy as np
    import torch

    from neocog.pretrained.keras import sequential

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _call(peer, "--draw", "sequential", kind, place)
        answers = np.load(folder / "answer.npz")
        x = torch.from_numpy(np.moveaxis(answers["x"], -1, 1).copy())
        row: dict[str, Any] = {"sequential": kind}
        for file in ("whole.h5", "net.keras", "keras.weights.h5"):
            stored = sequential.load(folder / file, folder / "net.json" if "weights" in file else None)
            with torch.inference_mode():
                row[f"{file} read"] = share(stored.network(x).numpy(), answers["logits"])
        ours = folder / "ours"
        ours.mkdir()
        np.savez(ours / "ours.npz", x=answers["x"])
        for file in ("net.h5", "net.keras", "net.weights.h5", "net.json"):
            sequential.save(ours / file, stored)
        _call(peer, "--answer", str(ours))
        for key, logits in np.load(ours / "theirs.npz").items():
            row[f"{key} written"] = share(logits, answers["logits"])
        row["same"] = all(value <= TOLERANCE for value in row.values() if isinstance(value, float))
        return row


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--draw", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        kind, name, folder = options.draw
        (draw_application if kind == "application" else draw_sequential)(name, Path(folder))
        return 0
    if options.answer:
        answer(Path(options.answer))
        return 0
    return compare(options.peer, options.only)


def compare(peer: str, only: list[str] | None) -> int:
    """Measure every network, or those named; print, and write the results of a whole run."""
    import torch

    from neocog._version import __version__
    from neocog.files import write_json

    networks, sequentials, versions = [], [], {}
    for name, kind in NETWORKS.items():
        if not only or name in only:
            row, versions = measure_application(name, kind, peer)
            networks.append(row)
            print(row, flush=True)
    for kind in ("pictures", "separable", "signals", "volumes"):
        if not only or kind in only:
            sequentials.append(measure_sequential(kind, peer))
            print(sequentials[-1], flush=True)
    rows = [*networks, *sequentials]
    if not only:
        ours = {"neocog": __version__, "torch": torch.__version__}
        document = {"tolerance": TOLERANCE, "peer": versions, "ours": ours}
        write_json(RESULTS, document | {"networks": networks, "sequentials": sequentials})
    return 0 if all(row["same"] for row in rows) else 4


if __name__ == "__main__":
    sys.exit(main())
