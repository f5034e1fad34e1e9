"""The arithmetic of a network: output sizes, parameters, multiply-accumulates and receptive field of every layer.

`output_shape` applies the rule of one leaf module (they stand in `rules`); `walk` runs a whole network, any `nn.Module`, on the
meta device, where tensors have shapes and no memory, and checks every leaf by its rule before it runs. A network that cannot be is
refused with the layer's name, its arithmetic and the chain of sizes that led there.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.overrides import TorchFunctionMode

from neocog.errors import ShapeError
from neocog.rules import RULES, Refusal, Shape, dimensions, rule, times, window, written

__all__ = ["Impossible", "Refusal", "Row", "Shape", "Walk", "label", "output_shape", "walk", "written"]

Number = int | float
BYTES = 4
"""Bytes of one float32 activation."""
_VIEWS = {"flatten", "unflatten", "identity"}


class Impossible(ShapeError):
    """A network that cannot be: `layer` (its full name), `refusal` (why) and `chain` (the sizes that led there)."""

    def __init__(
        self, *, layer: str, shown: str, refusal: Refusal, chain: str, works: Sequence[str] = ()
    ) -> None:
        self.layer, self.shown, self.refusal, self.chain, self.works = (
            layer,
            shown,
            refusal,
            chain,
            tuple(works),
        )
        lines = [f"{shown} cannot be: {refusal.problem}", chain]
        if refusal.formula:
            lines.append(f"formula: {refusal.formula}")
        if works:
            lines.append("any one of these works: " + " | ".join(works))
        super().__init__("\n  ".join(line for line in lines if line))

    def mended(self, works: Sequence[str]) -> Impossible:
        """The same refusal with edits that were tried and work."""
        return Impossible(
            layer=self.layer, shown=self.shown, refusal=self.refusal, chain=self.chain, works=works
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One leaf layer as it ran. Shapes are (C, *sizes) without the batch axis.

    `macs` counts the multiply-accumulates of convolutions and dense layers for one picture; `receptive_field` the input pixels per
    axis that one output number sees, None where it sees all of them; `stride` the input pixels between two neighbouring
    outputs; `trainable` how many of the `parameters` are trained; `activations` the numbers it puts out.
    """

    index: int
    name: str
    kind: str
    label: str
    input: Shape
    output: Shape
    parameters: int
    trainable: int
    macs: int
    activations: int
    receptive_field: tuple[int, ...] | None
    stride: tuple[Number, ...] | None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Every layer of a network in the order in which they ran, and the totals.

    `parameters` are the trainable ones without auxiliary heads (named `aux.*`); `trainable` counts those too; `non_trainable` are
    frozen weights and the running mean and variance of normalisations. `memory` is the size in bytes of all activations of one
    picture in float32, as training keeps them. `remarks` are about the network as a whole.
    """

    layers: tuple[Row, ...]
    input: Shape
    output: Shape
    parameters: int
    trainable: int
    non_trainable: int
    macs: int
    memory: int
    remarks: tuple[str, ...] = ()


# --- one leaf -----------------------------------------------------------------------------------------------------------------------


def output_shape(module: nn.Module, shape: Shape) -> Shape:
    """The shape that `module` makes of an input `(C, *sizes)`; both without the batch axis.

    A module without a rule, a container among them, is run on the meta device. Raises ShapeError where it cannot be.
    """
    known = rule(module)
    return known.size(module, tuple(shape)) if known is not None else walk(module, shape).output


def label(module: nn.Module) -> str:
    """A layer in a few words: 'conv 9x9/2', 'maxpool 2x2/2', 'dense 500'."""
    known = rule(module)
    kind = known.kind if known is not None else type(module).__name__
    if isinstance(module, nn.Linear):
        return f"{kind} {module.out_features}"
    frame = window(module)
    if frame is not None and known is not None:
        stride = frame.stride[0] if len(set(frame.stride)) == 1 else times(frame.stride)
        return f"{kind} {times(frame.kernel)}" + (f"/{stride}" if stride != 1 else "")
    return type(module).__name__ if kind == "activation" else kind


def multiply_accumulates(module: nn.Module, given: Shape, made: Shape) -> int:
    """Multiply-accumulates of a convolution or dense layer for one picture, biases left out; 0 for other layers."""
    if isinstance(module, _ConvTransposeNd):
        return prod(given) * module.out_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, _ConvNd):
        return prod(made) * module.in_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return prod(made) * module.in_features
    return 0


def dropped_pixels(module: nn.Module, given: Shape) -> str:
    """What a window leaves unseen at the border, in words; '' where it sees everything."""
    frame = window(module)
    if frame is None or len(given) != len(frame.kernel) + 1:
        return ""
    lost = [frame.dropped(n, axis) for axis, n in enumerate(given[1:])]
    if not any(lost):
        return ""
    names = {1: ("sample",), 2: ("row", "column"), 3: ("slice", "row", "column")}[len(lost)]
    words = [f"{n} {name}{'s' if n > 1 else ''}" for n, name in zip(lost, names, strict=True) if n]
    axis = next(axis for axis, n in enumerate(lost) if n)
    border = f" + {frame.total[axis]}" if frame.total[axis] else ""
    sum_ = f"({given[1 + axis]}{border} - {frame.reach[axis]})/{frame.stride[axis]}"
    return f"drops {' and '.join(words)} at the border: {sum_} is not whole"


# --- how far a number sees ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a tensor of the walk comes from: the rows before it, and how far one of its numbers sees into the input."""

    rows: tuple[int, ...] = ()
    field: tuple[Fraction, ...] | None = None
    jump: tuple[Fraction, ...] | None = None


def _seen(module: nn.Module, given: Shape, made: Shape, trace: Trace) -> Trace:
    """`trace` after a leaf: the receptive field grows by (reach - 1) * jump, and the jump by the stride."""
    if trace.field is None or trace.jump is None:
        return trace
    axes = len(trace.field)
    if len(made) != len(given) or len(given) != axes + 1:
        return replace(trace, field=None, jump=None)
    frame = window(module)
    if isinstance(module, _ConvTransposeNd):
        stride = [Fraction(1, s) for s in module.stride]
        reach = [
            Fraction(-(-(d * (k - 1) + 1) // s))
            for k, s, d in zip(module.kernel_size, module.stride, module.dilation)
        ]
    elif frame is not None and rule(module) is not None:
        reach, stride = [Fraction(n) for n in frame.reach], [Fraction(s) for s in frame.stride]
    elif given[1:] != made[1:] and not _moves_only(module):
        stride = [Fraction(n, m) for n, m in zip(given[1:], made[1:])]
        reach = [Fraction(-(-n // m) + (1 if n % m else 0)) for n, m in zip(given[1:], made[1:])]
        if all(m == 1 for m in made[1:]):
            return replace(trace, field=None, jump=None)
    else:
        return trace
    grown = tuple(f + (r - 1) * j for f, r, j in zip(trace.field, reach, trace.jump, strict=True))
    return replace(trace, field=grown, jump=tuple(j * s for j, s in zip(trace.jump, stride, strict=True)))


def _moves_only(module: nn.Module) -> bool:
    """A border around the picture: it changes the size and not the distance between pixels."""
    known = rule(module)
    return known is not None and (known.kind in {"padding", "same", "pad"})


def _merged(traces: Sequence[Trace]) -> Trace:
    """The trace of a tensor made of several: it sees what the widest of them sees; the longest chain stands for all."""
    longest = max(traces, key=lambda t: len(t.rows))
    if any(t.field is None for t in traces):
        return Trace(longest.rows)
    if len({len(t.field or ()) for t in traces}) > 1:
        return Trace(longest.rows)
    fields = [t.field for t in traces if t.field is not None]
    jumps = [t.jump for t in traces if t.jump is not None]
    return Trace(
        longest.rows, tuple(max(axis) for axis in zip(*fields)), tuple(max(axis) for axis in zip(*jumps))
    )


# --- the walk -----------------------------------------------------------------------------------------------------------------------


def walk(network: nn.Module, shape: Shape, *, training: bool = False, batch: int = 1) -> Walk:
    """Run `network` on the meta device for inputs `(C, *sizes)` and write down every leaf layer.

    The given network is never touched: a copy with empty tensors runs, without its hooks, in evaluation mode or, with `training`, in
    training mode (normalisations whose weights are frozen stay in evaluation), on `batch` pictures. Raises Impossible (a
    ShapeError) where a layer cannot take its input, or where tensors of unlike sizes meet.
    """
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ShapeError(
            f"an input of {tuple(shape)} cannot be: sizes are whole numbers of at least 1, channels first"
        )
    ghost = on_meta(network)
    ghost.train(training)
    for module in ghost.modules():
        if _frozen_norm(module):
            module.eval()
    walker = _Walker(ghost, tuple(shape), batch)
    output = walker.run()
    return _totals(network, walker, output)


def on_meta(network: nn.Module) -> nn.Module:
    """A copy of `network` whose tensors have shapes and no memory, without the hooks of the original."""
    memo: dict[int, Any] = {}
    for module in network.modules():
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            memo[id(getattr(module, name))] = OrderedDict()
        tensors = [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]
        for tensor in tensors:
            if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
                raise ShapeError(
                    f"a {type(module).__name__} has no sizes yet; run the network once on a picture first"
                )
            if isinstance(tensor, nn.Parameter):
                memo[id(tensor)] = nn.Parameter(torch.empty_like(tensor, device="meta"), tensor.requires_grad)
            elif isinstance(tensor, Tensor):
                memo[id(tensor)] = torch.empty_like(tensor, device="meta")
    return copy.deepcopy(network, memo)


def _frozen_norm(module: nn.Module) -> bool:
    """A batch normalisation whose weights are all frozen, so that it uses its running statistics in training too."""
    weights = list(module.parameters(recurse=False))
    return isinstance(module, _BatchNorm) and bool(weights) and not any(p.requires_grad for p in weights)


@dataclass(slots=True)
class _Call:
    """A module that is running: its name, and for a leaf what went in and what its rule says will come out."""

    name: str
    leaf: bool = False
    given: Shape = ()
    expected: Shape | None = None
    trace: Trace = field(default_factory=Trace)


class _Walker(TorchFunctionMode):
    """Runs a network on the meta device, its leaf modules watched by hooks and everything between them by this mode."""

    def __init__(self, network: nn.Module, shape: Shape, batch: int) -> None:
        super().__init__()
        self.network, self.shape, self.batch = network, shape, batch
        self.rows: list[Row] = []
        self.calls: list[_Call] = []
        self.traces: dict[int, Trace] = {}
        self.alive: list[Tensor] = []
        self.counted: set[int] = set()
        self.remarks: dict[str, None] = {}
        self.operation: tuple[str, list[Shape], Trace] | None = None
        self.names = {name for name, module in network.named_modules() if _is_leaf(module)}
        self.shorts = Counter(name.rpartition(".")[2] for name in self.names)

    def run(self) -> Shape:
        """The network's output shape, the rows written."""
        x = torch.empty((self.batch, *self.shape), device="meta")
        axes = len(self.shape) - 1
        self._remember(x, Trace((), (Fraction(1),) * axes, (Fraction(1),) * axes) if axes else Trace())
        with self._hooks(), warnings.catch_warnings(), torch.no_grad(), torch.device("meta"), self:
            warnings.simplefilter("ignore")
            try:
                result = self.network(x)
            except ShapeError:
                raise
            except Exception as error:
                raise self._explained(error) from error
        output = _tensors(result)
        if not output:
            raise ShapeError(f"the network returns {type(result).__name__} without a tensor")
        if output[0].ndim and output[0].shape[0] != self.batch:
            self.remarks[
                f"the output has {output[0].shape[0]} rows for {self.batch} picture: a view mixes the pictures of a batch"
            ] = None
        return tuple(output[0].shape[1:])

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        """Watch every module; the leaves by their rules."""
        handles, covered = [], set()
        for name, module in self.network.named_modules():
            if any(name.startswith(prefix) for prefix in covered):
                continue
            if _is_leaf(module):
                covered.add(name + ".")
            handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
            handles.append(module.register_forward_hook(self._after))
        self.by_module = {id(module): name for name, module in self.network.named_modules()}
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = _Call(self.by_module[id(module)], _is_leaf(module))
        self.calls.append(call)
        given = _tensors((args, kwargs))
        if not call.leaf or not given:
            return
        call.given = tuple(given[0].shape[1:])
        call.trace = _merged([self.traces.get(id(x), Trace()) for x in given])
        known = rule(module)
        if known is None or len(given) > 1 or len(args) + len(kwargs) > 1 or _unbatched(module, given[0]):
            return
        try:
            call.expected = known.size(module, call.given)
            _needs_spread(module, given[0])
        except Refusal as refusal:
            raise self._impossible(call, label(module), refusal) from None

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = self.calls.pop()
        made = _tensors(output)
        if not call.leaf or not made:
            return
        shape = tuple(made[0].shape[1:])
        assert call.expected in {None, shape}, f"{call.name}: the rule says {call.expected}, torch {shape}"
        trace = _seen(module, call.given, shape, call.trace)
        trace = replace(trace, rows=(*trace.rows, len(self.rows)))
        for tensor in made:
            self._remember(tensor, trace)
        self.rows.append(self._row(module, call, shape, trace))

    def _row(self, module: nn.Module, call: _Call, shape: Shape, trace: Trace) -> Row:
        known = rule(module)
        own = list(module.parameters())
        again = id(module) in self.counted
        self.counted.add(id(module))
        remarks = [dropped_pixels(module, call.given)] if call.expected is not None else []
        if again:
            remarks.append("used again: its parameters count once")
        if own and not any(p.requires_grad for p in own):
            remarks.append("frozen(eval)" if _frozen_norm(module) else "frozen")
        return Row(
            index=len(self.rows),
            name=call.name,
            kind=known.kind if known is not None else type(module).__name__,
            label=label(module),
            input=call.given,
            output=shape,
            parameters=0 if again else sum(p.numel() for p in own),
            trainable=0 if again else sum(p.numel() for p in own if p.requires_grad),
            macs=multiply_accumulates(module, call.given, shape),
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
        if self.calls and self.calls[-1].leaf:
            return func(*args, **(kwargs or {}))
        given = _tensors((args, kwargs or {}))
        trace = _merged([self.traces[id(x)] for x in given if id(x) in self.traces] or [Trace()])
        self.operation = (getattr(func, "__name__", str(func)), [tuple(x.shape[1:]) for x in given], trace)
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            if trace.field is not None and tensor.ndim != len(trace.field) + 2:
                trace = Trace(trace.rows)
            self._remember(tensor, trace)
        self.operation = None
        return result

    def _remember(self, tensor: Tensor, trace: Trace) -> None:
        """Keep `tensor` alive with its trace: an id is only a name while its object lives."""
        self.traces[id(tensor)] = trace
        self.alive.append(tensor)

    def _explained(self, error: Exception) -> ShapeError:
        """torch's own refusal, with the innermost module, the shapes that met and the chain."""
        call = self.calls[-1] if self.calls else _Call("")
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        module = self.network.get_submodule(call.name)
        problem = said
        if not call.leaf and self.operation is not None:
            name, shapes, trace = self.operation
            call.trace = trace
            call.given = shapes[0] if shapes else ()
            verb = {"cat": "join", "add": "add", "__add__": "add", "mul": "multiply"}.get(name, f"{name} of")
            problem = f"cannot {verb} {' and '.join(written(s) for s in shapes)}: {said}"
        return self._impossible(
            call,
            type(module).__name__ if not call.leaf else label(module),
            Refusal(problem, needs="cannot run"),
        )

    def _impossible(self, call: _Call, what: str, refusal: Refusal) -> Impossible:
        shown = f"{self.short(call.name)} ({what})" if call.name else f"the network ({what})"
        steps = [f"input {written(self.shape)}"]
        size = self.shape
        for index in call.trace.rows:
            row = self.rows[index]
            if row.output != size:
                steps += [self._step(row.name, row.label), written(row.output)]
                size = row.output
        if len(steps) > 15:
            steps = [*steps[:3], "...", *steps[-10:]]
        chain = " -> ".join([*steps, f"{self._step(call.name, what)} {refusal.needs}"])
        return Impossible(layer=call.name, shown=shown, refusal=refusal, chain=chain)

    def short(self, name: str) -> str:
        """The last part of a layer's name where that is a word of its own in this network, else the whole name."""
        last = name.rpartition(".")[2]
        return last if self.shorts[last] == 1 and not last.isdigit() else name

    def _step(self, name: str, what: str) -> str:
        """A layer within the chain: 'conv1 9x9/2', or 'features.0 (conv 9x9/2)' where the name does not say its kind."""
        kind, _, rest = what.partition(" ")
        short = self.short(name)
        return f"{short} {rest}".strip() if kind[-4:] in short else f"{short} ({what})"


def _is_leaf(module: nn.Module) -> bool:
    """A module that the walk does not look into: it has no children, or a rule of its own."""
    return not any(True for _ in module.children()) or any(isinstance(module, row.classes) for row in RULES)


def _unbatched(module: nn.Module, x: Tensor) -> bool:
    """True where a layer is called without the batch axis, as torch allows; then the rule does not apply."""
    return window(module) is not None and x.ndim == dimensions(module) + 1


def _needs_spread(module: nn.Module, x: Tensor) -> None:
    """Refuse a batch normalisation that trains on one number per channel: its variance is not defined."""
    if (
        isinstance(module, _BatchNorm)
        and (module.training or module.running_mean is None)
        and x.numel() == x.shape[1]
    ):
        raise Refusal(
            f"it trains on a batch of one picture of {written(tuple(x.shape[1:]))}, one number per channel, whose variance is not defined: "
            "Expected more than 1 value per channel when training",
            needs="needs a batch of 2 or more",
            mend=("a batch of 2 or more", "evaluation mode"),
        )


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _totals(network: nn.Module, walker: _Walker, output: Shape) -> Walk:
    """The walk with its sums; the parameters come from the network itself, so that shared ones count once and unused ones too."""
    named = list(network.named_parameters())
    trainable = sum(p.numel() for _, p in named if p.requires_grad)
    statistics = sum(
        buffer.numel()
        for name, buffer in network.named_buffers()
        if name.rpartition(".")[2] in {"running_mean", "running_var"}
    )
    rows = tuple(walker.rows)
    return Walk(
        layers=rows,
        input=walker.shape,
        output=output,
        parameters=sum(p.numel() for name, p in named if p.requires_grad and not name.startswith("aux.")),
        trainable=trainable,
        non_trainable=sum(p.numel() for _, p in named if not p.requires_grad) + statistics,
        macs=sum(row.macs for row in rows),
        memory=BYTES * sum(row.activations for row in rows if row.kind not in _VIEWS),
        remarks=tuple(walker.remarks),
    )
