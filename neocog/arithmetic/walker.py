"""The walker: runs a network, on tensors without memory or for real, and writes down every leaf that runs.

Hooks apply each leaf's rule before the leaf runs, so that a refusal names the layer and the arithmetic; a
function mode follows the tensors between the leaves through whatever `forward` does with them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from neocog.arithmetic import operations
from neocog.arithmetic.chain import Names, impossible
from neocog.arithmetic.functional import as_module
from neocog.arithmetic.ghost import NotFollowed, tensors_in
from neocog.arithmetic.ledger import JOINS, Call, Ledger
from neocog.arithmetic.products import Products
from neocog.arithmetic.receptive import Trace, merged
from neocog.arithmetic.record import Impossible, Place, Walk, label, multiply_accumulates
from neocog.arithmetic.rules import rule
from neocog.arithmetic.sliding_window import Refusal, Shape, dimensions, window, written
from neocog.errors import ShapeError


class Script(nn.Module):
    """TorchScript's module as a leaf: it takes no hooks and lets nobody see inside."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self.held = held

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.held(*args, **kwargs)


_SAME_HINT = (
    "; TensorFlow pads more at the bottom and right there: so do neocog.zoo.borders.Same, and "
    '"padding": "same" in a layer list'
)

_VERBS = {
    "cat": "join",
    **dict.fromkeys(["add", "iadd", "radd"], "add"),
    **dict.fromkeys(["sub", "isub", "rsub"], "subtract"),
    **dict.fromkeys(["mul", "imul", "rmul", "matmul"], "multiply"),
}
"""What a message calls an operation, by torch's name without its underscores."""


class Walker(TorchFunctionMode):
    """Runs a network, its leaves watched by hooks and everything between them by this mode: a ghost, or,
    where `real`, the network itself, within the bounds of `Products`.
    """

    def __init__(self, network: nn.Module, shape: Shape, batch: int, *, real: bool = False) -> None:
        super().__init__()
        self.network, self.shape, self.batch, self.real = network, shape, batch, real
        self.products = Products(bounded=real)
        self.rules = {id(m): rule(m) if "forward" not in vars(m) else None for _, m in _watched(network)}
        self.names = {id(module): name for name, module in network.named_modules()}
        self.shown = Names(name for name, module in _watched(network) if _is_leaf(module))
        self.ledger = Ledger()
        self.calls: list[Call] = []
        self.traces: dict[int, Trace] = {}
        self.alive: list[Tensor] = []
        self.operation: tuple[str, list[Shape], Trace] | None = None

    def run(self) -> Walk:
        """The walk. Raises Impossible, or NotFollowed where the run says nothing about the network."""
        weight = next(self.network.parameters(), None)
        device = weight.device if self.real and weight is not None else "cpu" if self.real else "meta"
        x = torch.zeros((self.batch, *self.shape), device=device)
        self._remember([x], Trace.of_input(self.shape))
        with self._hooks(), warnings.catch_warnings(), torch.no_grad(), torch.device(device):
            warnings.simplefilter("ignore")
            try:
                with self.products if self.real else nullcontext(), self:
                    answer = self.network(x)
            except ShapeError:
                raise
            except Exception as error:
                raise self._explained(error) from error
        output = tensors_in(answer)
        if not output:
            raise ShapeError(
                "the network returns no tensor; its forward must return one of logits (N, classes)"
            )
        if isinstance(answer, list) and output[0].shape[:1] != x.shape[:1]:
            raise NotFollowed("it returns a list, one entry for each picture, and no batch of answers")
        return self.ledger.totals(self.network, shape=self.shape, batch=self.batch, output=output[0])

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        """Watch every module of the ghost, down to the leaves."""
        handles: list[Any] = []
        try:
            for _, module in _watched(self.network):
                handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
                handles.append(module.register_forward_hook(self._after))
                if self.rules[id(module)] is not None and not self.real:
                    module.forward = partial(self._stand_in, module, module.forward)
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _stand_in(self, module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
        """In place of the forward of a leaf whose rule is known."""
        return self._run(self.calls[-1], module, forward, args, kwargs)

    def _run(self, call: Call, module: nn.Module, function: Any, args: Any, kwargs: Any) -> Any:
        """An output of the size that the rule says, or torch's own where no rule applied."""
        if self.real or call.expected is None or getattr(module, "return_indices", False):
            return function(*args, **kwargs)
        (x,) = tensors_in((args, kwargs))[:1]
        return torch.empty((*x.shape[:1], *call.expected), device="meta")

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ruled = self.rules[id(module)] is not None
        # A network of one's own, without children, is looked into: its functions are its layers.
        leaf = _is_leaf(module) and (module is not self.network or _torchs(module))
        call = Call(self.names[id(module)], ruled or leaf, ruled)
        self.calls.append(call)
        if call.leaf:
            single = len(args) + len(kwargs) == 1
            self._check(call, module, tensors_in((args, kwargs)), single=single)
        call.macs = -self.products.macs if isinstance(module, Script) else 0

    def _check(self, call: Call, module: nn.Module, given: list[Tensor], *, single: bool) -> None:
        """Apply the rule of a leaf to what is about to go in."""
        if not given:
            return
        call.given, call.trace = tuple(given[0].shape[1:]), self._origin(given)
        known = rule(module) if call.ruled else None
        if known is None or not single or len(given) > 1:
            return
        if _unbatched(module, given[0]) and given[0] is not self.alive[0]:
            return
        try:
            call.expected = known.size(module, call.given)
            _need_spread(module, given[0])
        except Refusal as refusal:
            raise self._impossible(call, label(module), refusal) from None

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = self.calls.pop()
        if isinstance(module, Script):
            call.macs += self.products.macs
        if call.leaf:
            self._write(call, module, tensors_in(output), list(module.parameters()))

    def _write(self, call: Call, module: nn.Module, made: list[Tensor], own: list[nn.Parameter]) -> None:
        """Write the row of a leaf that has run, `own` being its weights."""
        if not made:
            return
        shape = tuple(made[0].shape[1:])
        assert call.expected in {None, shape}, f"{call.name}: the rule says {call.expected}, torch {shape}"
        inside = self.traces.get(id(made[0])) if not call.ruled else None
        trace = inside or (
            call.trace.through(module, call.given, shape) if call.ruled else call.trace.blind()
        )
        trace = replace(trace, rows=(*call.trace.rows, len(self.ledger.rows)))
        self._remember(made, trace)
        if (
            call.ruled and made[0].shape[0] > self.batch
        ):  # windows or steps of a picture stand in the batch's axis
            shares = made[0].shape[0] // self.batch - 1
            call.macs += shares * multiply_accumulates(module, call.given, shape)
        self.ledger.leaf(call, module, shape, trace, own)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self.calls or self.calls[-1].ruled:
            return func(*args, **kwargs)
        given, name = tensors_in((args, kwargs)), getattr(func, "__name__", str(func))
        module = as_module(name, args, kwargs) if given and given[0].ndim > 1 else None
        if module is not None:
            return self._function(module, name, func, args, kwargs)
        trace = self._origin(given)
        self.operation = (name, [tuple(x.shape[1:]) for x in given if x.ndim > 1], trace)
        before = self.products.macs
        made = operations.result(name, args, kwargs) if not self.real else None
        if made is None:
            with self.products if not self.real else nullcontext():
                made = func(*args, **kwargs)
        self.operation = None
        if any(id(x) in self.traces for x in given):
            for tensor in tensors_in(made):
                known = trace.field is not None and tensor.ndim == len(trace.field) + 2
                self._remember([tensor], trace if known else trace.blind())
            self._between(name, given, tensors_in(made), self.products.macs - before)
        return made

    def _between(self, name: str, given: list[Tensor], made: list[Tensor], macs: int) -> None:
        """Count and write the joins and products between layers; a leaf's own are part of its row."""
        macs //= self.batch
        if self.calls[-1].leaf:
            self.calls[-1].macs += macs
        elif made and (macs or (name in JOINS and len(given) > 1 and made[0].ndim > 1)):
            trace = self.traces[id(made[0])]
            self.ledger.operation(self.calls[-1], name, given, tuple(made[0].shape[1:]), trace, macs=macs)

    def _function(
        self, module: nn.Module, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A layer called as a function: checked like a leaf, written as one unless a leaf calls it."""
        caller = self.calls[-1]
        place = caller.name if caller.leaf else f"{caller.name}.{name}".strip(".")
        call = Call(place, leaf=True, ruled=True)
        self.calls.append(call)
        x, *weights = tensors_in((args, kwargs))
        self._check(call, module, [x], single=True)
        result = self._run(call, module, func, args, kwargs)
        self.calls.pop()
        made = tensors_in(result)
        if caller.leaf:
            shape = tuple(made[0].shape[1:])
            shares = max(made[0].shape[0] // self.batch, 1)
            caller.macs += shares * multiply_accumulates(module, call.given, shape)
            self._remember(made, call.trace.through(module, call.given, shape))
        else:
            self._write(call, module, made, [w for w in weights if isinstance(w, nn.Parameter)])
        return result

    def _origin(self, tensors: list[Tensor]) -> Trace:
        """The trace of what is made of `tensors`; weights and constants among them come from nowhere."""
        return merged([self.traces[id(x)] for x in tensors if id(x) in self.traces])

    def _remember(self, tensors: list[Tensor], trace: Trace) -> None:
        """Keep `tensors` alive with their trace: an id names an object only while it lives."""
        self.alive.extend(tensors)
        self.traces.update((id(x), trace) for x in tensors)

    def _explained(self, error: Exception) -> ShapeError:
        """torch's own refusal, with the innermost module, the shapes that met and the chain."""
        call = self.calls[-1] if self.calls else Call("")
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        of_sizes = isinstance(error, (RuntimeError, ValueError, IndexError, AssertionError))
        of_sizes &= not isinstance(error, NotImplementedError)
        if not of_sizes or re.search(r"\bmeta\b", str(error), re.IGNORECASE):
            return NotFollowed(f"{type(error).__name__}: {problem}")
        if "padding='same'" in problem:
            problem += _SAME_HINT
        shapes: list[Shape] = []
        if self.operation is not None and not call.ruled:
            name, shapes, call.trace = self.operation
            met = " and ".join(written(shape) for shape in shapes)
            problem = f"cannot {_VERBS.get(name.strip('_'), f'take {name} of')} {met} ({problem})"
        what = (
            type(self.network.get_submodule(call.name)).__name__ if call.name in self.names.values() else ""
        )
        return self._impossible(call, what, Refusal(problem, needs="cannot run"), tuple(shapes))

    def _impossible(self, call: Call, what: str, refusal: Refusal, met: tuple[Shape, ...] = ()) -> Impossible:
        path = tuple(self.ledger.rows[index] for index in call.trace.rows)
        place = Place(given=call.given, met=met, path=path)
        return impossible(
            refusal, names=self.shown, layer=call.name, label=what, shape=self.shape, place=place
        )


def _watched(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, module) of every module down to the leaves, but not inside them."""
    inside: tuple[str, ...] = ()
    for name, module in network.named_modules():
        if name.startswith(inside) and inside:
            continue
        if _is_leaf(module):
            inside = (*inside, f"{name}." if name else "")
        yield name, module


def _is_leaf(module: nn.Module) -> bool:
    """A module that the walk writes as one row: it has no children, or a rule of its own. A sequence of
    nothing is no layer.
    """
    if isinstance(module, nn.Sequential) and len(module) == 0:
        return False
    childless = isinstance(module, Script) or next(module.children(), None) is None
    return childless or rule(module) is not None


def _torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") or isinstance(module, Script)


def _unbatched(module: nn.Module, x: Tensor) -> bool:
    """True where a layer is called without the batch axis, as torch allows; its rule does not apply then."""
    return window(module) is not None and x.ndim == dimensions(module) + 1


def _need_spread(module: nn.Module, x: Tensor) -> None:
    """Refuse a batch normalisation that trains on one number per channel: its variance is not defined."""
    trains = isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
    if trains and x.numel() == x.shape[1]:
        raise Refusal(
            f"it trains on one picture of {written(tuple(x.shape[1:]))}: one number has no variance "
            "(Expected more than 1 value per channel when training); a batch of 2 or evaluation works",
            needs="needs a batch of 2",
        )
