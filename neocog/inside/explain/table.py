"""The methods of explaining, by name. A new one is its file and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from neocog.inside.explain.arithmetic import arithmetic
from neocog.inside.explain.class_map import ClassMap
from neocog.inside.explain.deconvnet import deconvnet
from neocog.inside.explain.filters import filters
from neocog.inside.explain.gates import gates
from neocog.inside.explain.gradcam import gradcam
from neocog.inside.explain.gradcam_plus_plus import gradcam_plus_plus
from neocog.inside.explain.guided import guided
from neocog.inside.explain.integrated import integrated
from neocog.inside.explain.layercam import layercam
from neocog.inside.explain.maps import maps
from neocog.inside.explain.maximise import maximise
from neocog.inside.explain.method import Method
from neocog.inside.explain.occlusion import occlusion
from neocog.inside.explain.roles import roles
from neocog.inside.explain.saliency import saliency
from neocog.inside.explain.weights import weights
from neocog.inside.nearest import nearest

_NO_PART = "no place of this layer speaks for the class"
_NO_SLOPE = "the score does not change with any pixel"
_BY_DESIGN = (
    "hardly changes when the upper layers are given random weights (Adebayo et al. 2018): it shows what is "
    "in the picture rather than why"
)

_ROWS = (
    Method(
        "gradcam",
        ClassMap(gradcam, "at maps", "heat", _NO_PART),
        "the maps of one layer, weighted by how the class depends on them",
    ),
    Method(
        "gradcam++",
        ClassMap(gradcam_plus_plus, "at maps", "heat", _NO_PART),
        "the same with a weight for every place: several objects count, and small ones",
    ),
    Method(
        "layercam",
        ClassMap(layercam, "at maps", "heat", _NO_PART),
        "the same place by place: for early layers too",
    ),
    Method(
        "occlusion",
        ClassMap(occlusion, "at pixels", "signed", "covering changes nothing", scale="probability"),
        "how much the probability falls when a square is covered",
    ),
    Method(
        "saliency",
        ClassMap(saliency, "at pixels", "size", _NO_SLOPE),
        "how fast the score changes with each pixel",
    ),
    Method(
        "integrated",
        ClassMap(integrated, "at pixels", "signed", _NO_SLOPE),
        "what each pixel adds to the score on the way from a blank picture",
    ),
    Method(
        "guided",
        ClassMap(guided, "at pixels", "picture", _NO_SLOPE, most="careful"),
        "the gradient, negative parts cut off at every ReLU",
        caution=_BY_DESIGN,
    ),
    Method(
        "deconvnet",
        ClassMap(deconvnet, "at pixels", "picture", _NO_SLOPE, most="careful"),
        "a response projected back to the pixels that caused it",
        caution=_BY_DESIGN,
    ),
    Method("arithmetic", arithmetic, "one number of a layer, product by product; or one step of learning"),
    Method("nearest", nearest, "the training pictures that are most like it to the network"),
    Method("filters", filters, "the kernels of a layer, and what they make of a photo", needs="nothing"),
    Method("maps", maps, "the feature maps of each convolution, ReLU and pooling", needs="nothing"),
    Method(
        "roles", roles, "what each filter is for: classes, a name, its strongest patches", needs="nothing"
    ),
    Method("gates", gates, "how far each gate of a highway network is open", needs="nothing"),
    Method("maximise", maximise, "the picture that a class or a channel answers to most", needs="nothing"),
    Method(
        "weights", weights, "every layer's weights in figures, as histograms and as text", needs="nothing"
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ROWS})
"""Name -> method, in the order of help."""
