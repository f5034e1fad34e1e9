"""The walk: a network runs on the meta device, where tensors have shapes and no memory, and every leaf is
written down.

Hooks on a copy apply each leaf's rule before the leaf runs, so that a refusal names the layer and the
arithmetic; a function mode follows the tensors between the leaves through whatever `forward` does with them.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from neocog.arithmetic.functional import as_module
from neocog.arithmetic.receptive import Trace, merged
from neocog.arithmetic.record import Impossible, Row, Walk, label, multiply_accumulates
from neocog.arithmetic.rules import rule
from neocog.arithmetic.window import Refusal, Shape, dimensions, dropped_pixels, window, written
from neocog.errors import ShapeError

BYTES = 4
"""Bytes of one float32 number."""

_VIEWS = {"flatten", "unflatten", "identity"}
"""Kinds whose output is their input's memory."""

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
    ghost = on_meta(network)
    ghost.train(training)
    for module in ghost.modules():
        if _frozen_norm(module):
            module.eval()
    walker = _Walker(ghost, tuple(shape), batch)
    output = walker.run()
    return _totals(network, walker, output)


def output_shape(module: nn.Module, shape: Shape) -> Shape:
    """The shape that `module` makes of an input `(C, *sizes)`; both without the batch axis.

    A module without a rule, a container among them, is run on the meta device. Raises ShapeError where it
    cannot be.
    """
    known = rule(module)
    return known.size(module, tuple(shape)) if known is not None else walk(module, shape).output


def on_meta(network: nn.Module) -> nn.Module:
    """A copy of `network` whose tensors have shapes and no memory, without the hooks of the original."""
    memo: dict[int, Any] = {}
    for module in network.modules():
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            memo[id(getattr(module, name))] = OrderedDict()
        for tensor in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(tensor, Tensor) and is_lazy(tensor):
                kind = type(module).__name__
                raise ShapeError(
                    f"a {kind} has no sizes yet: run the network once on a picture, then ask again"
                )
            if isinstance(tensor, nn.Parameter):
                memo[id(tensor)] = nn.Parameter(torch.empty_like(tensor, device="meta"), tensor.requires_grad)
            elif isinstance(tensor, Tensor):
                memo[id(tensor)] = torch.empty_like(tensor, device="meta")
    return copy.deepcopy(network, memo)


@dataclass(slots=True)
class _Call:
    """A module that is running: its name, and for a leaf its input and what its rule says."""

    name: str
    leaf: bool = False
    given: Shape = ()
    expected: Shape | None = None
    trace: Trace = field(default_factory=Trace)


class _Walker(TorchFunctionMode):
    """Runs a network, its leaves watched by hooks and everything between them by this mode."""

    def __init__(self, network: nn.Module, shape: Shape, batch: int) -> None:
        super().__init__()
        self.network, self.shape, self.batch = network, shape, batch
        self.names = {id(module): name for name, module in network.named_modules()}
        self.words = Counter(
            name.rpartition(".")[2] for name, module in _watched(network) if _is_leaf(module)
        )
        self.rows: list[Row] = []
        self.calls: list[_Call] = []
        self.traces: dict[int, Trace] = {}
        self.alive: list[Tensor] = []
        self.counted: set[int] = set()
        self.remarks: tuple[str, ...] = ()
        self.operation: tuple[str, list[Shape], Trace] | None = None

    def run(self) -> Shape:
        """The network's output shape, the rows written."""
        x = torch.empty((self.batch, *self.shape), device="meta")
        self._remember(x, Trace.of_input(self.shape))
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
            raise ShapeError(
                f"the network returns {type(result).__name__} and no tensor; it must return one of logits"
            )
        rows = output[0].shape[0] if output[0].ndim else 0
        if rows != self.batch:
            self.remarks = (
                f"{self.batch} picture in, {rows} rows out: some view mixes the pictures of a batch",
            )
        return tuple(output[0].shape[1:])

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        """Watch every module of the copy, down to the leaves."""
        handles: list[Any] = []
        try:
            for _, module in _watched(self.network):
                handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
                handles.append(module.register_forward_hook(self._after))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = _Call(self.names[id(module)], _is_leaf(module))
        self.calls.append(call)
        if call.leaf:
            single = len(args) + len(kwargs) == 1
            self._check(call, module, _tensors((args, kwargs)), single=single)

    def _check(self, call: _Call, module: nn.Module, given: list[Tensor], *, single: bool) -> None:
        """Apply the rule of a leaf to what is about to go in."""
        if not given:
            return
        call.given = tuple(given[0].shape[1:])
        call.trace = self._origin(given)
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
            self._write(call, module, _tensors(output))

    def _write(self, call: _Call, module: nn.Module, made: list[Tensor]) -> None:
        """Write the row of a leaf that has run."""
        if not made:
            return
        shape = tuple(made[0].shape[1:])
        assert call.expected in {None, shape}, f"{call.name}: the rule says {call.expected}, torch {shape}"
        trace = call.trace.through(module, call.given, shape)
        trace = replace(trace, rows=(*trace.rows, len(self.rows)))
        for tensor in made:
            self._remember(tensor, trace)
        self.rows.append(self._row(call, module, shape, trace))

    def _row(self, call: _Call, module: nn.Module, shape: Shape, trace: Trace) -> Row:
        known, own = rule(module), list(module.parameters())
        again = id(module) in self.counted and bool(own)
        self.counted.add(id(module))
        remarks = [dropped_pixels(module, call.given, shape) if known is not None else ""]
        if again:
            remarks.append("used again: its parameters count once")
        elif own and not any(p.requires_grad for p in own):
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
        kwargs = kwargs or {}
        if self.calls and self.calls[-1].leaf:
            return func(*args, **kwargs)
        given, name = _tensors((args, kwargs)), getattr(func, "__name__", str(func))
        module = as_module(name, args, kwargs) if given and given[0].ndim > 1 else None
        if module is not None:
            return self._function(module, name, func, args, kwargs)
        trace = self._origin([x for x in given if id(x) in self.traces])
        self.operation = (name, [tuple(x.shape[1:]) for x in given], trace)
        result = func(*args, **kwargs)
        self.operation = None
        for tensor in _tensors(result):
            axes = None if trace.field is None else len(trace.field) + 2
            self._remember(tensor, trace if axes == tensor.ndim else trace.blind())
        return result

    def _function(
        self, module: nn.Module, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A layer called as a function: checked and written like a leaf; its parameters belong to the module
        that calls it.
        """
        place = self.calls[-1].name if self.calls else ""
        call = _Call(f"{place}.{name}" if place else name, leaf=True)
        self.calls.append(call)
        self._check(call, module, _tensors(args)[:1] or _tensors(kwargs)[:1], single=True)
        result = func(*args, **kwargs)
        self.calls.pop()
        self._write(call, module, _tensors(result))
        self.rows[-1] = replace(self.rows[-1], parameters=0, trainable=0)
        return result

    def _origin(self, tensors: list[Tensor]) -> Trace:
        return merged([self.traces.get(id(x), Trace()) for x in tensors])

    def _remember(self, tensor: Tensor, trace: Trace) -> None:
        """Keep `tensor` alive with its trace: an id names an object only while it lives."""
        self.traces[id(tensor)] = trace
        self.alive.append(tensor)

    def _explained(self, error: Exception) -> Impossible:
        """torch's own refusal, with the innermost module, the shapes that met and the chain."""
        call = self.calls[-1] if self.calls else _Call("")
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        if call.leaf:
            return self._impossible(call, "", Refusal(problem, needs="cannot run"))
        what = type(self.network.get_submodule(call.name)).__name__
        if self.operation is not None:
            name, shapes, call.trace = self.operation
            met = " and ".join(written(shape) for shape in shapes)
            problem = f"cannot {_VERBS.get(name, f'take {name} of')} {met} ({problem})"
        return self._impossible(call, what, Refusal(problem, needs="cannot run"))

    def _impossible(self, call: _Call, what: str, refusal: Refusal) -> Impossible:
        """The refusal with the layer's name and the sizes from the input to it."""
        steps, size = [f"input {written(self.shape)}"], self.shape
        for row in (self.rows[index] for index in call.trace.rows):
            if row.input != size:
                steps.append(written(row.input))
            if row.output != row.input:
                steps += [self._step(row.name, row.label), written(row.output)]
            size = row.output
        if call.given not in {(), size}:
            steps.append(written(call.given))
        if len(steps) > 17:
            steps = [*steps[:3], "...", *steps[-12:]]
        chain = " -> ".join([*steps, f"{self._step(call.name, what)} {refusal.needs}".strip()])
        if (
            len(self.shape) == 3
            and self.shape[0] > 4
            and self.shape[-1] in {1, 3}
            and "permute" not in refusal.problem
        ):
            last = written((self.shape[2], *self.shape[:2]))
            hint = f"; shapes are (channels, height, width), here {self.shape}: did you mean permute, for {last}?"
            refusal = Refusal(refusal.problem + hint, needs=refusal.needs, formula=refusal.formula)
        name = self._short(call.name)
        shown = f"{name} ({what})" if name and what else name or f"the network ({what})"
        return Impossible(layer=call.name, shown=shown, refusal=refusal, chain=chain)

    def _short(self, name: str) -> str:
        """The last word of a layer's name where it is the only one in this network, else the whole name."""
        last = name.rpartition(".")[2]
        return last if self.words[last] == 1 and not last.isdigit() else name

    def _step(self, name: str, what: str) -> str:
        """A layer within the chain: 'conv1 9x9/2', or 'features.0 (conv 9x9/2)' where the name does not say
        its kind.
        """
        kind, _, rest = what.rpartition(" ")
        short = self._short(name)
        return f"{short} {rest}" if kind and kind[-4:] in short else f"{short} ({what})" if what else short


def _watched(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, module) of every module down to the leaves, but not inside them."""
    inside: list[str] = []
    for name, module in network.named_modules():
        if any(name.startswith(leaf) for leaf in inside):
            continue
        if name and _is_leaf(module):
            inside.append(f"{name}.")
        yield name, module


def _is_leaf(module: nn.Module) -> bool:
    """A module that the walk does not look into: it has no children, or a rule of its own."""
    return not any(True for _ in module.children()) or rule(module) is not None


def _frozen_norm(module: nn.Module) -> bool:
    """A batch normalisation whose weights are frozen: it uses its running statistics in training too."""
    weights = list(module.parameters(recurse=False))
    return isinstance(module, _BatchNorm) and bool(weights) and not any(p.requires_grad for p in weights)


def _unbatched(module: nn.Module, x: Tensor) -> bool:
    """True where a layer is called without the batch axis, as torch allows; its rule does not apply then."""
    return window(module) is not None and x.ndim == dimensions(module) + 1


def _need_spread(module: nn.Module, x: Tensor) -> None:
    """Refuse a batch normalisation that trains on one number per channel: its variance is not defined."""
    trains = isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
    if trains and x.numel() == x.shape[1]:
        raise Refusal(
            f"it trains on one picture of {written(tuple(x.shape[1:]))}, one number per channel, whose variance "
            "is not defined (Expected more than 1 value per channel when training); "
            "a batch of 2 pictures or evaluation mode works",
            needs="needs a batch of 2",
        )


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (tuple, list)) else []


def _totals(network: nn.Module, walker: _Walker, output: Shape) -> Walk:
    """The sums. Parameters come from the network itself: shared ones count once, unused ones too."""
    named, rows = list(network.named_parameters()), tuple(walker.rows)
    running = (b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var")))
    trainable = [(name, p.numel()) for name, p in named if p.requires_grad]
    return Walk(
        layers=rows,
        input=walker.shape,
        output=output,
        parameters=sum(n for name, n in trainable if not name.startswith("aux.")),
        trainable=sum(n for _, n in trainable),
        non_trainable=sum(p.numel() for _, p in named if not p.requires_grad)
        + sum(b.numel() for b in running),
        macs=sum(row.macs for row in rows),
        memory=BYTES * sum(row.activations for row in rows if row.kind not in _VIEWS),
        remarks=walker.remarks,
    )
