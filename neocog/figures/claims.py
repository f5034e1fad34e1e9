"""Q1 to Q7: what the chapters claim."""

from __future__ import annotations

from neocog.figures.entry import Entry, ToCome

ENTRIES = (
    Entry(
        "Q1",
        "LeNet is robust to shifts, turns, noise",
        "A, D",
        (ToCome("accuracy of M9 and M1 against distortion"),),
    ),
    Entry("Q2", "residual nets learn faster; features are enough", "A", (ToCome("curves of both"),)),
    Entry("Q3", "maximum, dropout and two 3x3", "B", (ToCome("four pairs under one recipe"),)),
    Entry(
        "Q4",
        "G3's mistakes are of shape; costs of networks",
        "C",
        (ToCome("mistakes by colour and by shape"),),
    ),
    Entry("Q5", "stacked linear layers, harmful flips", "E", (ToCome("E3 with and without flips"),)),
    Entry("Q6", "overfitting", "B", (ToCome("training against test accuracy"),)),
    Entry("Q7", "what a GPU brings", "A", (ToCome("seconds an epoch on both"),)),
)
