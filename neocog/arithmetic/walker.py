"""The walk: a network runs on tensors without memory, and every leaf that runs is written down.

Hooks on a copy apply each leaf's rule before the leaf runs, so that a refusal names the layer and the
arithmetic; a function mode follows the tensors between the leaves through whatever `forward` does with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from neocog.arithmetic import operations
from neocog.arithmetic.chain import Names, impossible
from neocog.arithmetic.functional import as_module
from neocog.arithmetic.ghost import frozen_norm, ghost, tensors_in
from neocog.arithmetic.receptive import Trace, merged
from neocog.arithmetic.record import Impossible, Row, Walk, label, multiply_accumulates, window_words
from neocog.arithmetic.rules import rule
from neocog.arithmetic.sliding_window import Refusal, Shape, dimensions, dropped_pixels, window, written
from neocog.errors import ShapeError

BYTES = 4
"""Bytes of one float32 number."""

_VIEWS = {"flatten", "unflatten", "identity"}
"""Kinds whose output is their input's memory."""

_SAME_HINT = (
    "; TensorFlow pads more at the bottom and right there: so do neocog.zoo.blocks.Same, and "
    '"padding": "same" in a layer list'
)

_VERBS = {
    "cat": "join",
    "add": "add",
    "__add__": "add",
    "mul": "multiply",
    "__mul__": "multiply",
    "matmul": "multiply",
}


def walk(network: nn.Module, shape: Shape, *, training: bool = False, batch: int = 1) -> Walk:
    """Run `network` on the meta device for `batch` inputs `(C, *sizes)` and write down every leaf layer.

    The given network is never touched: a copy with empty tensors runs, without its hooks, in evaluation mode
    or, with `training`, in training mode (normalisations whose weights are frozen stay in evaluation). Raises
    Impossible (a ShapeError) where a layer cannot take its input, or where tensors of unlike sizes meet.
    """
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ShapeError(
            f"an input of {tuple(shape)} cannot be: sizes are whole numbers from 1, channels first"
        )
    walker = _Walker(ghost(network, training=training), tuple(shape), batch)
    return walker.run()


def output_shape(module: nn.Module, shape: Shape) -> Shape:
    """The shape that `module` makes of an input `(C, *sizes)`; both without the batch axis.

    A module without a rule, a container among them, is run on the meta device. Raises ShapeError where it
    cannot be.
    """
    known = rule(module)
    return known.size(module, tuple(shape)) if known is not None else walk(module, shape).output


@dataclass(slots=True)
class _Call:
    """A module that is running. A leaf gets a row; a leaf without a rule is looked into for functions that it
    calls.
    """

    name: str
    leaf: bool = False
    ruled: bool = False
    given: Shape = ()
    expected: Shape | None = None
    trace: Trace = field(default_factory=Trace)
    macs: int = 0


class _Walker(TorchFunctionMode):
    """Runs a ghost, its leaves watched by hooks and everything between them by this mode."""

    def __init__(self, network: nn.Module, shape: Shape, batch: int) -> None:
        super().__init__()
        self.network, self.shape, self.batch = network, shape, batch
        self.names = {id(module): name for name, module in network.named_modules()}
        self.shown = Names(name for name, module in _watched(network) if _is_leaf(module))
        self.rows: list[Row] = []
        self.calls: list[_Call] = []
        self.traces: dict[int, Trace] = {}
        self.alive: list[Tensor] = []
        self.used: set[int] = set()
        self.operation: tuple[str, list[Shape], Trace] | None = None

    def run(self) -> Walk:
        """The walk, or Impossible."""
        x = torch.empty((self.batch, *self.shape), device="meta")
        self._remember([x], Trace.of_input(self.shape))
        with self._hooks(), warnings.catch_warnings(), torch.no_grad(), torch.device("meta"), self:
            warnings.simplefilter("ignore")
            try:
                output = tensors_in(self.network(x))
            except ShapeError:
                raise
            except Exception as error:
                raise self._explained(error) from error
        if not output:
            raise ShapeError(
                "the network returns no tensor; its forward must return one of logits (N, classes)"
            )
        return self._totals(output[0])

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        """Watch every module of the ghost, down to the leaves."""
        handles: list[Any] = []
        try:
            for _, module in _watched(self.network):
                handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
                handles.append(module.register_forward_hook(self._after))
                if rule(module) is not None:
                    module.forward = partial(self._stand_in, module, module.forward)
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _stand_in(self, module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
        """In place of the forward of a leaf whose rule is known."""
        return self._run(self.calls[-1], module, forward, args, kwargs)

    def _run(self, call: _Call, module: nn.Module, function: Any, args: Any, kwargs: Any) -> Any:
        """An output of the size that the rule says, or torch's own where no rule applied."""
        if call.expected is None or getattr(module, "return_indices", False):
            return function(*args, **kwargs)
        (x,) = tensors_in((args, kwargs))[:1]
        return torch.empty((*x.shape[:1], *call.expected), device="meta")

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ruled = rule(module) is not None
        # A network that is one module without children is looked into: its functions are its layers.
        call = _Call(
            self.names[id(module)], ruled or (module is not self.network and _is_leaf(module)), ruled
        )
        self.calls.append(call)
        if call.leaf:
            single = len(args) + len(kwargs) == 1
            self._check(call, module, tensors_in((args, kwargs)), single=single)

    def _check(self, call: _Call, module: nn.Module, given: list[Tensor], *, single: bool) -> None:
        """Apply the rule of a leaf to what is about to go in."""
        if not given:
            return
        call.given, call.trace = tuple(given[0].shape[1:]), self._origin(given)
        known = rule(module)
        if known is None or not single or len(given) > 1 or _unbatched(module, given[0]):
            return
        try:
            call.expected = known.size(module, call.given)
            _need_spread(module, given[0])
        except Refusal as refusal:
            raise self._impossible(call, label(module), refusal) from None

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = self.calls.pop()
        if call.leaf:
            self._write(call, module, tensors_in(output), list(module.parameters()))

    def _write(self, call: _Call, module: nn.Module, made: list[Tensor], own: list[nn.Parameter]) -> None:
        """Write the row of a leaf that has run, `own` being its weights."""
        if not made:
            return
        shape = tuple(made[0].shape[1:])
        assert call.expected in {None, shape}, f"{call.name}: the rule says {call.expected}, torch {shape}"
        inside = self.traces.get(id(made[0])) if not call.ruled else None
        trace = inside or call.trace.through(module, call.given, shape)
        trace = replace(trace, rows=(*call.trace.rows, len(self.rows)))
        self._remember(made, trace)
        self.rows.append(self._row(call, module, shape, trace, own))

    def _row(
        self, call: _Call, module: nn.Module, shape: Shape, trace: Trace, own: list[nn.Parameter]
    ) -> Row:
        known = rule(module)
        new = [p for p in own if id(p) not in self.used]
        self.used.update(id(p) for p in own)
        remarks = [dropped_pixels(module, call.given, shape) if known is not None else ""]
        if own and not new:
            remarks.append("used again: its parameters count once")
        elif own and not any(p.requires_grad for p in own):
            remarks.append("frozen(eval)" if frozen_norm(module) else "frozen")
        return Row(
            index=len(self.rows),
            name=call.name,
            kind=known.kind if known is not None else type(module).__name__.lower(),
            label=label(module),
            window=window_words(module),
            input=call.given,
            output=shape,
            parameters=sum(p.numel() for p in new),
            trainable=sum(p.numel() for p in new if p.requires_grad),
            macs=multiply_accumulates(module, call.given, shape) + call.macs,
            activations=prod(shape),
            receptive_field=None if trace.field is None else tuple(int(n) for n in trace.field),
            stride=None
            if trace.jump is None
            else tuple(int(n) if n.denominator == 1 else float(n) for n in trace.jump),
            remark="; ".join(remark for remark in remarks if remark),
        )

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
        self.operation = (name, [tuple(x.shape[1:]) for x in given], trace)
        made = operations.result(name, args, kwargs)
        result = func(*args, **kwargs) if made is None else made
        self.operation = None
        if any(id(x) in self.traces for x in given):
            for tensor in tensors_in(result):
                known = trace.field is not None and tensor.ndim == len(trace.field) + 2
                self._remember([tensor], trace if known else trace.blind())
        return result

    def _function(
        self, module: nn.Module, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A layer called as a function: checked like a leaf, written as one unless a leaf calls it."""
        caller = self.calls[-1]
        call = _Call(f"{caller.name}.{name}" if caller.name else name, leaf=True, ruled=True)
        self.calls.append(call)
        x, *weights = tensors_in((args, kwargs))
        self._check(call, module, [x], single=True)
        result = self._run(call, module, func, args, kwargs)
        self.calls.pop()
        made = tensors_in(result)
        if caller.leaf:
            shape = tuple(made[0].shape[1:])
            caller.macs += multiply_accumulates(module, call.given, shape)
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

    def _explained(self, error: Exception) -> Impossible:
        """torch's own refusal, with the innermost module, the shapes that met and the chain."""
        call = self.calls[-1] if self.calls else _Call("")
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "padding='same'" in problem:
            problem += _SAME_HINT
        if self.operation is not None and not call.ruled:
            name, shapes, call.trace = self.operation
            met = " and ".join(written(shape) for shape in shapes)
            problem = f"cannot {_VERBS.get(name, f'take {name} of')} {met} ({problem})"
        what = (
            type(self.network.get_submodule(call.name)).__name__ if call.name in self.names.values() else ""
        )
        return self._impossible(call, what, Refusal(problem, needs="cannot run"))

    def _impossible(self, call: _Call, what: str, refusal: Refusal) -> Impossible:
        path = [self.rows[index] for index in call.trace.rows]
        return impossible(
            refusal,
            names=self.shown,
            layer=call.name,
            label=what,
            given=call.given,
            shape=self.shape,
            path=path,
        )

    def _totals(self, output: Tensor) -> Walk:
        """The sums. Parameters come from the network itself: shared ones count once, unused ones too."""
        named, rows = list(self.network.named_parameters()), tuple(self.rows)
        running = (
            b for name, b in self.network.named_buffers() if name.endswith(("running_mean", "running_var"))
        )
        trainable = [(name, p.numel()) for name, p in named if p.requires_grad]
        remarks = []
        if output.shape[:1] != (self.batch,):
            remarks.append(
                f"{self.batch} picture in, {list(output.shape)} out: a view mixes the pictures of a batch"
            )
        idle = [
            (name, p.numel()) for name, p in named if id(p) not in self.used and not name.startswith("aux.")
        ]
        if idle:
            shown = ", ".join(name for name, _ in idle[:3]) + (", ..." if len(idle) > 3 else "")
            remarks.append(f"{sum(n for _, n in idle):,} parameters belong to no layer that ran: {shown}")
        return Walk(
            layers=rows,
            input=self.shape,
            output=tuple(output.shape[1:]),
            parameters=sum(n for name, n in trainable if not name.startswith("aux.")),
            trainable=sum(n for _, n in trainable),
            non_trainable=sum(p.numel() for _, p in named if not p.requires_grad)
            + sum(b.numel() for b in running),
            macs=sum(row.macs for row in rows),
            memory=BYTES * sum(row.activations for row in rows if row.kind not in _VIEWS),
            remarks=tuple(remarks),
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
    """A module that the walk writes as one row: it has no children, or a rule of its own."""
    return not any(True for _ in module.children()) or rule(module) is not None


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
