"""A whole Sequential of Keras, or its layers and its weights apart, as a network with all that belongs to it.

Keras' files have no place for class names and preprocessing. What we write carries them under a key of our
own, which Keras passes over; of other files they are assumed, and marked so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neocog.errors import UnreadableError
from neocog.files import sha256_file
from neocog.pictures.preprocess import Preprocess
from neocog.pretrained import releases
from neocog.pretrained.keras import sequential
from neocog.pretrained.published import Published
from neocog.zoo import Model
from neocog.zoo.blocks import Logistic
from neocog.zoo.layer_list import meaning

Word = Literal["classify", "multilabel", "restore"]


class About(BaseModel):
    """What we write beside Keras' own words: class names, preprocessing, what the outputs mean, origin, and
    when to doubt the answers.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    classes: Annotated[tuple[str, ...], Field(max_length=1_000_000)]
    preprocess: Preprocess
    task: Word
    provenance: dict[str, Any] = {}
    doubt: dict[str, Any] | None = None


def load(path: Path, json: Path | None = None) -> Published:
    """The Sequential in `path`; `json` says its layers where the file holds weights alone.

    Where it is not of our writing, classes are numbered and pixels divided by 255. `UnreadableError`: a file
    that is damaged, takes no pictures, or ends in numbers that name no class.
    """
    stored = sequential.load(path, json)
    where = json or path
    task = _task(where, stored)
    channels, *sizes = stored.shape
    if len(sizes) != 2 or channels not in (1, 3):
        raise UnreadableError(
            f"{where} takes {stored.shape}, not pictures; neocog.pretrained.keras.sequential.load reads it"
        )
    facts: dict[str, Any] = {
        "weights": path.name,
        "sha256": sha256_file(path),
        "source": "Keras Sequential",
    }
    about = _about(where, stored)
    if about is None:
        facts["assumed"] = "pixels divided by 255, classes numbered: the file says neither"
        scale = {"size": sizes, "channels": channels, "mean": (0.0,), "std": (1.0,)}
        names = releases.class_names(stored.classes)
        about = About(classes=names, preprocess=Preprocess.model_validate(scale), task=task)
    return Published(
        network=stored.network,
        model=Model(layers=stored.layers),
        shape=stored.shape,
        classes=about.classes,
        preprocess=about.preprocess,
        task=about.task,
        provenance={**about.provenance, **facts},
        doubt=about.doubt,
    )


def _about(path: Path, stored: sequential.Sequential) -> About | None:
    """What we wrote into the file, and that it fits the network; None where it is not of our writing."""
    if stored.about is None:
        return None
    try:
        about = About.model_validate(stored.about)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise UnreadableError(
            f"{path}: what neocog wrote into it was changed ({place}: {detail['msg']}); write it again"
        ) from None
    prepared = about.preprocess
    fits = about.task == "restore" or len(about.classes) == stored.classes
    if not fits or (prepared.channels, *(prepared.size or ())) != stored.shape:
        raise UnreadableError(
            f"{path}: what neocog wrote into it is of another network ({len(about.classes)} classes for "
            f"{stored.classes} outputs); write it again"
        )
    return about


def _task(path: Path, stored: sequential.Sequential) -> Word:
    """What the last layer's numbers mean: one class of many, labels each for itself, or pictures."""
    if stored.about is not None and stored.about.get("task") == "restore":
        return "restore"  # pictures, whatever activation makes them
    said = meaning(stored.layers)
    if said == "softmax" and stored.classes > 1:
        return "classify"
    if said == "sigmoid":
        return "classify" if isinstance(list(stored.network.head.children())[-1], Logistic) else "multilabel"
    if said == "none" and stored.classes > 1 and "crossentropy" in stored.loss.lower():
        return "classify"  # logits, as its loss says
    if said == "none" and stored.about is not None:
        return "classify"  # of our writing: `About` says it
    word = {"none": "linear", "softmax": "a softmax over one number"}.get(said, said)
    raise UnreadableError(
        f"{path} ends in a layer that is {word} ({stored.classes} numbers), which names no class; end it "
        "with a softmax or sigmoid, or save it compiled with its loss, if that is a cross-entropy of logits"
    )
