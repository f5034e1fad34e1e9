"""CIFAR-10: 32x32 colour pictures of ten kinds of animals and vehicles."""

from __future__ import annotations

from types import MappingProxyType

from neocog.data.sources.built_in import BuiltIn
from neocog.data.sources.layouts import CIFAR
from neocog.downloads.published import Remote, Source

ROW = BuiltIn(
    title="CIFAR-10: ten kinds of animals and vehicles",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(3, 32, 32),
    counts=MappingProxyType({"train": 50_000, "test": 10_000}),
    source="Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="not stated by its author",
    fit="crop",  # its pictures are full of their subject; bars at the sides look like a scene
    recipe="c2",
    layout=CIFAR,
    bare=("NEOCOG_DATA", "Keras"),  # nobody else's files are called like its folders and archives
    remote=Source(  # size and SHA-256 as in tensorflow_datasets/url_checksums/cifar10.txt
        mirrors=(
            "https://www.cs.toronto.edu/~kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
        licence="none stated; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        files=(
            Remote(
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
    ),
)
