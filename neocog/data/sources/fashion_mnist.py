"""Fashion-MNIST: 28x28 grey pictures of clothing, made to take MNIST's place."""

from __future__ import annotations

from types import MappingProxyType

from neocog.data.sources.built_in import BuiltIn
from neocog.data.sources.layouts import IDX
from neocog.downloads.published import Remote, Source

ROW = BuiltIn(
    title="Fashion-MNIST: clothing",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    shape=(1, 28, 28),
    counts=MappingProxyType({"train": 60_000, "test": 10_000}),
    source="Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    recipe="e1",
    layout=IDX,
    remote=Source(  # sizes and SHA-256 as in tensorflow_datasets/url_checksums/fashion_mnist.txt
        mirrors=(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        licence="MIT, Zalando SE",
        files=(
            Remote(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            Remote(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            Remote(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            Remote(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    ),
)
