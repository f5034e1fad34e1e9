"""Z1 to Z11: the classic networks, walked through without memory for their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from neocog.arithmetic import Walk, written
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.row import Row, fact, seen
from neocog.figures.sizes import counted
from neocog.pretrained.releases import RELEASES
from neocog.verbs.list import list_
from neocog.zoo import ZOO


def _counts(*names: str) -> Callable[[Asked], Iterator[Row]]:
    """Parameters counted layer by layer beside those published for the row."""

    def work(asked: Asked) -> Iterator[Row]:
        for name in names:
            yield fact(f"{name}: parameters", ZOO[name].parameters, counted(name).parameters)

    return work


def _modern(asked: Asked) -> Iterator[Row]:
    found = counted("lenet5-relu")
    yield fact("lenet5-relu: layers with weights", 5, _weight_layers(found))
    yield from _counts("lenet5", "lenet5-relu", "lenet")(asked)


def _alexnet(asked: Asked) -> Iterator[Row]:
    found = counted("alexnet")
    kinds = [row.kind for row in found.layers]
    yield fact("convolutions and dense layers", [5, 3], [kinds.count("conv"), kinds.count("dense")])
    yield fact("parameters, in millions", "about 60", f"about {10 * round(found.parameters / 1e7)}")
    yield fact("classes", 1000, found.output[0])
    yield from _counts("alexnet-merged", "alexnet-owt")(asked)


def _zfnet(asked: Asked) -> Iterator[Row]:
    first = next(row for row in counted("zfnet").layers if row.kind == "conv")
    yield fact("its first layer", "7x7/2", first.window.split()[0])


def _vgg(asked: Asked) -> Iterator[Row]:
    found = counted("vgg16")
    yield fact("vgg16: parameters", 138_357_544, found.parameters)
    windows = {row.window.split()[0] for row in found.layers if row.kind == "conv"}
    yield fact("vgg16: windows of its convolutions", "3x3", ", ".join(sorted(windows)))
    yield fact("vgg16: its input", "224x224x3", written(found.input))
    yield from _counts("vgg19", "vgg11", "vgg13")(asked)


def _googlenet(asked: Asked) -> Iterator[Row]:
    found = counted("googlenet")
    yield fact("layers", 22, ZOO["googlenet"].depth)
    yield fact("auxiliary heads while training", "yes", "yes" if found.trainable > found.parameters else "no")
    pools = [row for row in found.layers if row.kind == "globalpool"]
    yield fact("a global pool before the classifier", "yes", "yes" if pools else "no")


def _inception(asked: Asked) -> Iterator[Row]:
    found = counted("inception_v3")
    mixed = next(row for row in found.layers if row.name.endswith("mixed10"))
    yield fact("its input", "299x299x3", written(found.input))
    yield fact("mixed10", "8x8x2048", written(mixed.output))
    branches = 320 + 768 + 768 + 192
    yield fact("320 + 768 + 768 + 192", branches, mixed.output[0])


def _resnet(asked: Asked) -> Iterator[Row]:
    depths = sorted(
        ZOO[name].depth for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    )
    yield fact("depths", [18, 34, 50, 101, 152], depths)
    yield from _counts("resnet18", "resnet50", "resnet152")(asked)


def _densenet(asked: Asked) -> Iterator[Row]:
    yield from _counts("densenet121", "densenet201")(asked)
    dense, residual = counted("densenet121").parameters, counted("resnet50").parameters
    yield fact("fewer parameters than ResNet-50", "fewer", "fewer" if dense < residual else "not fewer")


def _weight_layers(found: Walk) -> int:
    return sum(row.kind in ("conv", "dense") for row in found.layers)


def _listed(asked: Asked) -> Iterator[Row]:
    rows = {row["name"]: row for row in list_("models").rows}
    public = [name for name in RELEASES if name in rows]
    yield seen("networks with public weights", f"{len(public)}")
    complete = [n for n in public if all(rows[n][key] is not None for key in ("depth", "MB", "parameters"))]
    yield fact("of these with depth, size and parameters", len(public), len(complete))


ENTRIES = (
    Entry("Z1", "LeNet-5", "A, C", (Check("LeNet-5", _modern),)),
    Entry("Z2", "AlexNet", "A, C", (Check("AlexNet", _alexnet),)),
    Entry("Z3", "ZFNet", "C", (Check("ZFNet", _zfnet),)),
    Entry("Z4", "VGG16 and VGG19", "A, B, C", (Check("VGG", _vgg),)),
    Entry("Z5", "GoogLeNet", "C", (Check("GoogLeNet", _googlenet, light=False),)),
    Entry("Z6", "Inception V3", "A", (Check("Inception V3", _inception, light=False),)),
    Entry("Z7", "ResNet", "A, C", (Check("ResNet", _resnet, light=False),)),
    Entry("Z8", "Highway network", "A", (Check("Highway network", _counts("highway")),)),
    Entry("Z9", "DenseNet", "A, C", (Check("DenseNet", _densenet, light=False),)),
    Entry("Z10", "Xception", "A", (Check("Xception", _counts("xception"), light=False),)),
    Entry("Z11", "networks with public weights", "A", (Check("the list", _listed),)),
)
