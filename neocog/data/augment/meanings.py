"""Meanings that mirroring and turning change: a 6 on its head is a 9, a mirrored b a d, and left is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

Change = Literal["half a turn", "mirror", "upside down"]

SIGNS: dict[Change, tuple[tuple[str, str], ...]] = {
    "half a turn": (("6", "9"), ("b", "q"), ("d", "p"), ("n", "u"), ("M", "W"), ("m", "w")),
    "mirror": (("2", "5"), ("b", "d"), ("p", "q")),
    "upside down": (("2", "5"), ("6", "9"), ("b", "p"), ("d", "q"), ("n", "u"), ("M", "W"), ("m", "w")),
}
"""Classes of one sign that look like each other afterwards."""
SIDES = (
    *(("left", "right"), ("links", "rechts"), ("linke", "rechte"), ("gauche", "droite"), ("gauche", "droit")),
    *(("izquierda", "derecha"), ("izquierdo", "derecho"), ("esquerda", "direita"), ("esquerdo", "direito")),
    *(("sinistra", "destra"), ("sinistro", "destro"), ("sinister", "dexter"), ("stanga", "dreapta")),
    *(("vänster", "höger"), ("venstre", "høyre"), ("venstre", "højre"), ("vasen", "oikea")),
    *(("lewo", "prawo"), ("lewy", "prawy"), ("lewa", "prawa"), ("levo", "desno"), ("levy", "pravy")),
    *(("лево", "право"), ("левый", "правый"), ("слева", "справа"), ("sol", "sağ"), ("sol", "sag")),
    *(("kiri", "kanan"), ("trái", "phải"), ("bal", "jobb"), ("hidari", "migi"), ("αριστερά", "δεξιά")),
    *(("左", "右"), ("왼쪽", "오른쪽"), ("बाएँ", "दाएँ"), ("يسار", "يمين"), ("שמאל", "ימין")),
    *(("port", "starboard"), ("west", "east"), ("l", "r"), ("lh", "rh"), ("lt", "rt"), ("os", "od")),
)
"""Words for the two sides."""
TURNING = (
    *(("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"), ("cw", "ccw")),
    *(("clockwise", "counter clockwise"), ("clockwise", "anti clockwise")),
)
"""Words for the two senses of turning, which half a turn leaves as they are."""
ENDS = (
    *(("up", "down"), ("top", "bottom"), ("upper", "lower"), ("above", "below"), ("north", "south")),
    *(("upward", "downward"), ("oben", "unten"), ("haut", "bas"), ("arriba", "abajo"), ("alto", "basso")),
    *(("cima", "baixo"), ("верх", "низ"), ("上", "下"), ("위", "아래"), ("góra", "dół")),
)
"""Words for above and below."""
_WHOLE = 3
"""Latin words of so few letters count only where they stand alone in a name."""


def exchanged(classes: tuple[str, ...], change: Change) -> Iterator[tuple[str, str]]:
    """The pairs of classes that `change` makes look like each other."""
    names = set(classes)
    yield from ((one, other) for one, other in SIGNS[change] if one in names and other in names)
    words = {
        "mirror": (*SIDES, *TURNING),
        "upside down": (*ENDS, *TURNING),
        "half a turn": (*SIDES, *ENDS),
    }[change]
    plain = {_key(_plain(name)): name for name in classes}
    for one, other in words:
        twins = {name: plain.get(_key(_replaced(_plain(name), one, other)), name) for name in classes}
        pairs = [(name, twin) for name, twin in twins.items() if twin != name]
        yield from pairs or _apart(classes, one, other)


def _apart(classes: tuple[str, ...], one: str, other: str) -> Iterator[tuple[str, str]]:
    """The first class that has the word `one` in its name and the first that has the `other`."""
    if len(one) > _WHOLE:
        with_one = next((name for name in classes if one in _plain(name).split(" ")), None)
        with_other = next((name for name in classes if other in _plain(name).split(" ")), None)
        if with_one is not None and with_other is not None:
            yield with_one, with_other


def _plain(name: str) -> str:
    """'TurnLeft', 'turn_left' and 'turn-left' alike: small words with blanks between them."""
    apart = re.sub(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])", " ", name)
    return re.sub(r"[\W_]+", " ", apart.casefold()).strip()


def _key(plain: str) -> tuple[str, ...]:
    """The words, in whatever order."""
    return tuple(sorted(plain.split(" ")))


def _replaced(name: str, one: str, other: str) -> str:
    if len(one) <= _WHOLE and one.isascii():
        return re.sub(rf"(?<![^\W\d_]){one}(?![^\W\d_])", other, name)
    return name.replace(one, other)
