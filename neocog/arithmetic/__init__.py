"""The arithmetic of a network: output sizes, parameters, multiply-accumulates and receptive field of every
layer.

`output_shape` applies the rule of one module, `walk` runs a whole network, any `nn.Module`, without computing
anything. A network that cannot be is refused by `Impossible` with the layer's name, its arithmetic and the
chain of sizes that led there.
"""

from neocog.arithmetic.record import Impossible, Row, Walk, label
from neocog.arithmetic.rules import RULES, Rule, rule
from neocog.arithmetic.sliding_window import Refusal, Shape, Window, window, written
from neocog.arithmetic.walker import output_shape, walk

__all__ = [
    "RULES",
    "Impossible",
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
