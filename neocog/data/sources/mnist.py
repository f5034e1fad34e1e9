"""MNIST: 28x28 grey handwritten digits."""

from __future__ import annotations

from types import MappingProxyType

from neocog.data.sources.built_in import BuiltIn
from neocog.data.sources.layouts import IdxFiles
from neocog.downloads.published import Remote, Source

ROW = BuiltIn(
    title="MNIST: handwritten digits",
    classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    shape=(1, 28, 28),
    counts=MappingProxyType({"train": 60_000, "test": 10_000}),
    source="LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist",
    licence="CC BY-SA 3.0",
    recipe="lenet-mnist",
    layout=IdxFiles(npz="mnist.npz"),
    bare=("Keras",),  # mnist.npz lies in the folder itself
    remote=Source(  # sizes and SHA-256 as in tensorflow_datasets/url_checksums/mnist.txt
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        licence="CC BY-SA 3.0, Yann LeCun, Corinna Cortes and Chris Burges",
        files=(
            Remote(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            Remote(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            Remote(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            Remote(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
)
