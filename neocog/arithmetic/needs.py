"""What a rule of size may have to refuse: another number of axes or channels, too few pixels."""

from __future__ import annotations

from torch import nn

from neocog.arithmetic.sliding_window import Refusal, Shape, dimensions, written


def need(holds: object, problem: str, needs: str, formula: str = "", *, excess: int = 0) -> None:
    """Refuse with `problem` where `holds` is false."""
    if not holds:
        raise Refusal(problem, needs=needs, formula=formula, excess=excess)


def need_axes(module: nn.Module, shape: Shape) -> None:
    """Refuse an input with another number of spatial axes than the layer works on, or with an empty one."""
    axes = dimensions(module)
    words = ("length", "height x width", "depth x height x width")[axes - 1] + " x channels"
    given = f"its input is {written(shape)}"
    hint = "; a flat input has no rows and columns left" if len(shape) == 1 else ""
    hint += f" (expected {axes + 2}-dimensional input, but got {len(shape) + 1}-dimensional input)"
    need(len(shape) == axes + 1, f"{given}, and it works on {words}{hint}", f"needs {words}")
    need(min(shape) >= 1, f"{given}, which is empty", "needs at least 1")


def need_channels(shape: Shape, expected: int) -> None:
    """Refuse an input with another number of channels than `expected`."""
    hint = ""
    if len(shape) == 3 and shape[0] > 4 and shape[-1] in {expected, 1, 3}:
        last = f"{shape[0]}x{shape[1]}x{shape[2]}"
        hint = f"; did you mean permute? {last} has its channels last: x.permute(0, 3, 1, 2) puts them first"
    elif shape[0] == 1 and expected == 3:
        hint = "; a grey picture becomes one of 3 channels by repeating its own: x.expand(-1, 3, -1, -1)"
    plural = "channels" if expected != 1 else "channel"
    problem = (
        f"its input is {written(shape)}: expected input to have {expected} {plural}, but got {shape[0]}{hint}"
    )
    need(shape[0] == expected, problem, f"needs {expected} {plural}")


def need_pixels(shape: Shape, n: int, pad: int, least: int, verb: str) -> None:
    """Refuse a border of `pad` that is made of fewer than `least` pixels."""
    problem = f"its input is {written(shape)}: a border of {pad} cannot be {verb} from {n} pixels"
    need(n >= least, problem, f"needs at least {least}")
