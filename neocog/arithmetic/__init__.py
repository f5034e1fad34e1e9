"""The arithmetic of a network: output sizes, parameters, multiply-accumulates and receptive field of every
layer.

`output_shape` applies the rule of one module, `walk` runs a whole network, any `nn.Module`, without computing
anything wherever that can be. A network that cannot be is refused by `Impossible` with the layer's name, its
arithmetic and the chain of sizes that led there.
"""

from neocog.arithmetic.following import output_shape, walk
from neocog.arithmetic.ghost import NotFollowed
from neocog.arithmetic.record import Impossible, Row, Walk, label
from neocog.arithmetic.rules import RULES, Rule, rule
from neocog.arithmetic.sliding_window import Refusal, Shape, Window, window, written

__all__ = [
    "RULES",
    "Impossible",
    "NotFollowed",
    "Refusal",
    "Row",
    "Rule",
    "Shape",
    "Walk",
    "Window",
    "label",
    "output_shape",
    "rule",
    "walk",
    "window",
    "written",
]
