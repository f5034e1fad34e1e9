"""The ledger of a walk: one row for every layer, and for every join and product between layers; and their
sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from torch import Tensor, nn

from neocog.arithmetic.ghost import frozen_norm
from neocog.arithmetic.receptive import Trace
from neocog.arithmetic.record import Row, Walk, label, multiply_accumulates, window_words
from neocog.arithmetic.rules import rule
from neocog.arithmetic.sliding_window import Shape, dropped_pixels

BYTES = 4
"""Bytes of one float32 number."""

JOINS = {"cat", "concat", "concatenate"}
"""torch's names of a join."""

_VIEWS = {"flatten", "unflatten", "identity"}
"""Kinds whose output is their input's memory."""


@dataclass(slots=True)
class Call:
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


class Ledger:
    """The rows of one walk, and the weights that were `used`, by id."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.used: set[int] = set()

    def leaf(self, call: Call, module: nn.Module, made: Shape, trace: Trace, own: list[nn.Parameter]) -> None:
        """Write the row of a leaf that has run and made `made`; its weights `own` count if they are new."""
        known = rule(module) if call.ruled else None
        remarks = [dropped_pixels(module, call.given, made) if known is not None else "", self._reuse(own)]
        if own and not remarks[1] and not any(p.requires_grad for p in own):
            remarks.append("frozen(eval)" if frozen_norm(module) else "frozen")
        counted = multiply_accumulates(module, call.given, made) if known is not None else 0
        row = self._plain(call.name, label(module), call.given, made, trace, own)
        self.rows.append(
            replace(
                row,
                kind=known.kind if known is not None else type(module).__name__.lower(),
                window=window_words(module),
                macs=counted + call.macs,
                remark="; ".join(remark for remark in remarks if remark),
            )
        )

    def operation(
        self, caller: Call, name: str, given: list[Tensor], made: Shape, trace: Trace, *, macs: int
    ) -> None:
        """Write what runs between layers and is worth a row: a join with the widths that enter, or a product
        such as attention's.
        """
        joins = name in JOINS
        own = [w for w in given if isinstance(w, nn.Parameter)]
        place = f"{caller.name}.{name}".strip(".") if macs or not caller.name else caller.name
        row = self._plain(place, "join" if joins else name, tuple(given[0].shape[1:]), made, trace, own)
        widths = [x.shape[1] for x in given] if joins else []
        words = " + ".join(map(str, widths)) if sum(widths) == made[0] else ""
        self.rows.append(replace(row, macs=macs, window=words))

    def _plain(
        self, name: str, words: str, given: Shape, made: Shape, trace: Trace, own: list[nn.Parameter]
    ) -> Row:
        """A row with its figures, `words` being its kind. The weights `own` count where they are new."""
        new = [p for p in own if id(p) not in self.used]
        self.used.update(id(p) for p in own)
        jump = trace.jump
        return Row(
            index=len(self.rows),
            name=name,
            kind=words,
            label=words,
            window="",
            input=given,
            output=made,
            parameters=sum(p.numel() for p in new),
            trainable=sum(p.numel() for p in new if p.requires_grad),
            macs=0,
            activations=prod(made),
            receptive_field=None if trace.field is None else tuple(int(n) for n in trace.field),
            stride=None if jump is None else tuple(int(n) if n == int(n) else float(n) for n in jump),
        )

    def _reuse(self, own: list[nn.Parameter]) -> str:
        used = own and all(id(p) in self.used for p in own)
        return "used again: its parameters count once" if used else ""

    def totals(self, network: nn.Module, *, shape: Shape, batch: int, output: Tensor) -> Walk:
        """The sums. Parameters come from the network itself: shared ones count once, unused ones too."""
        named, rows = list(network.named_parameters()), tuple(self.rows)
        running = (b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var")))
        trainable = [(name, p.numel()) for name, p in named if p.requires_grad]
        remarks = []
        if output.shape[:1] != (batch,):
            remarks.append(
                f"{batch} picture in, {list(output.shape)} out: a view mixes the pictures of a batch"
            )
        idle = [
            (name, p.numel()) for name, p in named if id(p) not in self.used and not name.startswith("aux.")
        ]
        if idle:
            shown = ", ".join(name for name, _ in idle[:3]) + (", ..." if len(idle) > 3 else "")
            remarks.append(f"{sum(n for _, n in idle):,} parameters belong to no layer that ran: {shown}")
        return Walk(
            layers=rows,
            input=shape,
            output=tuple(output.shape[1:]),
            parameters=sum(n for name, n in trainable if not name.startswith("aux.")),
            trainable=sum(n for _, n in trainable),
            non_trainable=sum(p.numel() for _, p in named if not p.requires_grad)
            + sum(b.numel() for b in running),
            macs=sum(row.macs for row in rows),
            memory=BYTES * sum(row.activations for row in rows if row.kind not in _VIEWS),
            remarks=tuple(remarks),
        )
