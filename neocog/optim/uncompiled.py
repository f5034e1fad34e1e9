"""torch's optimizers without its compiler.

They import it at their first use (2 s, 70 MiB, and nothing goes where no folder for temporary files can be
written to), only to tell it to leave them alone.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch

_MARK = "__dynamo_disable"  # where torch keeps the marked twin of a method


@contextlib.contextmanager
def compiler_left_out() -> Iterator[None]:
    """While this is open the methods of torch's optimizers find that the compiler was told already."""
    methods = [getattr(method, "__wrapped__", None) for method in vars(torch.optim.Optimizer).values()]
    marked = [plain for plain in methods if plain is not None and not hasattr(plain, _MARK)]
    for plain in marked:
        setattr(plain, _MARK, plain)
    try:
        yield
    finally:
        for plain in marked:
            delattr(plain, _MARK)


def moved(optimizer: torch.optim.Optimizer, closure: Callable[[], Any] | None = None) -> None:
    """One step of torch's `optimizer`, by the gradients that are there, or that `closure` finds. It goes
    without the wrappers of `step`, which import the compiler too; what they add (profiling, hooks,
    `differentiable`) is not used here.
    """
    with torch.no_grad():
        inspect.unwrap(type(optimizer).step)(optimizer, closure)
