"""Method: a row of the table of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from neocog.inside.explain.answer import Answer
from neocog.inside.explain.question import Question


@dataclass(frozen=True, slots=True)
class Method:
    """A way to explain: its `name`, the function that answers, and in words what it `shows`.

    needs    'pictures', or 'nothing' but the network; a method may read the data set through the question
    caution  what a reader must know before he trusts it; empty where there is nothing
    """

    name: str
    explain: Callable[[Question], Answer]
    shows: str
    needs: Literal["pictures", "nothing"] = "pictures"
    caution: str = ""
