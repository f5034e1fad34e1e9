"""Ranks: the processes that train one network together, each its rows of every batch; torchrun begins them.

    torchrun --nproc-per-node 2 -m neocog train mnist

Every rank makes the whole batch and takes its rows, so that order and augmentation are those of one
process; gradients are those of the whole batch's loss (`DistributedDataParallel`). The first rank alone
writes and speaks. What differs from one process: dropout is drawn by each rank for itself (from seed, step
and rank), and batch normalisation normalises within each rank's rows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from neocog.errors import CheckFailed, UsageError
from neocog.tasks.task import Objective, Outcome, in_order
from neocog.world import World

T = TypeVar("T")
SILENT = timedelta(seconds=25)
"""So long a rank may answer nothing in a step before the others end."""
PATIENT = timedelta(days=1)
"""So long the others wait while one reads the pictures or writes the state. A rank that died is noticed at
once there too: its connections close.
"""
GONE = ("gloo", "Connection closed", "Connection reset", "Broken pipe", "Timed out", "timed out")
"""What gloo's errors have in their texts."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Process number `rank` of `number` that train together. One alone, which is the default, does nothing
    of what is here.
    """

    rank: int = 0
    number: int = 1
    steps: Any = None
    """The group of processes for what happens at every step; None alone."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    @property
    def counters(self) -> tuple[int, ...]:
        """What tells the draws of this rank from those of the others."""
        return (self.rank,) if self.rank else ()

    def rows(self, n: int) -> tuple[int, int]:
        """Which of `n` pictures of a batch are this rank's: from, to. Together all, none twice."""
        return n * self.rank // self.number, n * (self.rank + 1) // self.number

    def objective(self, objective: Objective) -> Callable[[Tensor, Tensor], Outcome]:
        """`objective` over whole batches, of which this rank computes its rows."""
        return objective if self.number == 1 else _Shared(objective, self)

    def agreed(self, *wishes: bool) -> tuple[bool, ...]:
        """Of each wish, whether any rank has it: the same answer in all of them."""
        if self.number == 1:
            return wishes
        told = torch.tensor(wishes, dtype=torch.uint8)
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self.steps)
        return tuple(map(bool, told.tolist()))

    def text(self, text: str) -> str:
        """The first rank's `text`, in every rank."""
        if self.number == 1:
            return text
        told = torch.frombuffer(bytearray(text.encode(errors="surrogateescape") or b" "), dtype=torch.uint8)
        length = torch.tensor(len(told))
        dist.broadcast(length, 0)
        told = told if self.first else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(told, 0)
        return bytes(told.tolist()).decode(errors="surrogateescape")

    def wait(self) -> None:
        """Until all ranks are here, however long one of them has to do."""
        if self.number > 1:
            dist.barrier()

    def in_turn(self, work: Callable[[], T]) -> T:
        """`work`, done by the first rank and then by the others, who find its caches."""
        if not self.first:
            self.wait()
        done = work()
        if self.first:
            self.wait()
        self.wait()
        return done

    def outputs(
        self, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `in_order`: the same for every rank, each of which computes every so many-th batch."""
        if self.number == 1:
            yield from in_order(network, batches)
            return
        remaining = iter(batches)
        while group := list(islice(remaining, self.number)):
            # one who has no batch of the last few computes the last, only to know how an answer looks
            mine = network(group[min(self.rank, len(group) - 1)][0]).float().contiguous()
            for owner, (_, y) in enumerate(group):
                found = mine if owner == self.rank else mine.new_empty(len(y), *mine.shape[1:])
                dist.broadcast(found, owner, group=self.steps)
                yield found, y

    def require_possible(self, network: nn.Module, world: World, smallest: int) -> tuple[str, ...]:
        """`UsageError` where ranks cannot train `network`, whose smallest batch has so many pictures. Yields
        remarks: what will not be as in one process.
        """
        if self.number == 1:
            return ()
        if world.device.type != "cpu":
            raise UsageError(
                f"{self.number} processes train together on CPUs alone; use --device cpu, or one process"
            )
        kinds = {type(module) for module in network.modules()}
        remarks = [f"{self.number} processes train together, each its rows of every batch"]
        if any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds):
            if smallest < 2 * self.number:
                raise UsageError(
                    f"the smallest batch of an epoch has {smallest} pictures; batch normalisation needs two "
                    f"for each of {self.number} processes; choose another --batch-size, or fewer processes"
                )
            remarks.append("batch normalisation normalises within each process's rows, not the whole batch")
        if any(issubclass(kind, nn.modules.dropout._DropoutNd) for kind in kinds):
            remarks.append("each process draws its own dropout: other masks than in one process")
        return tuple(remarks)


ALONE = Ranks()


class _Shared:
    """The loss of a whole batch, of which each rank computes its rows.

    The loss that is returned is only good for gradients: the mean over ranks of its gradients, which
    `DistributedDataParallel` makes, is the gradient of the whole batch's mean. Sums are those of all ranks.
    """

    def __init__(self, objective: Objective, ranks: Ranks) -> None:
        self.ranks = ranks
        self.parallel = nn.parallel.DistributedDataParallel(objective, process_group=ranks.steps)

    def __call__(self, x: Tensor, y: Tensor) -> Outcome:
        start, end = self.ranks.rows(len(x))
        mine = end - start
        # who has no row takes part all the same, with the first picture, which then counts nothing
        rows = slice(start, end) if mine else slice(0, 1)
        outcome: Outcome = self.parallel(x[rows], y[rows])
        counts = (outcome.answer_loss.double() * mine, outcome.right.double() * (mine > 0))
        sums = torch.stack(counts)
        dist.all_reduce(sums, group=self.ranks.steps)
        weight = mine * self.ranks.number / len(x)
        return Outcome(outcome.loss * weight, (sums[0] / len(x)).float(), sums[1])


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that the environment names, as torchrun does (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT);
    this process alone where it names none.
    """
    rank, number = _named()
    if number == 1:
        yield ALONE
        return
    dist.init_process_group("gloo", timeout=PATIENT)
    try:
        yield Ranks(rank, number, dist.new_group(timeout=SILENT))
    except RuntimeError as error:
        if is_of_ranks(error):
            raise lost("neocog train --resume RUN, or as before where there is no run yet") from error
        raise
    finally:
        dist.destroy_process_group()


def require_alone(what: str) -> None:
    """For `what` one process does: where the environment names several, `UsageError` in the first, and the
    others end without a word (`SystemExit`).
    """
    rank, number = _named()
    if number == 1:
        return
    if rank:
        raise SystemExit(UsageError.exit_code)
    raise UsageError(f"{what} is for one process, and {number} were begun; give it without torchrun")


def _named() -> tuple[int, int]:
    """This process's rank and how many there are, as the environment says."""
    if "MASTER_ADDR" not in os.environ:
        return 0, 1
    return _whole("RANK", 0), _whole("WORLD_SIZE", 1)


def _whole(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(f"{name}={text} in the environment is no whole number; torchrun sets it")
    return int(text)


def is_of_ranks(error: BaseException) -> bool:
    """Whether `error` says that another rank is gone or silent."""
    return dist.is_initialized() and any(word in str(error) for word in GONE)


def lost(command: str) -> CheckFailed:
    """That a rank is gone; `command` goes on."""
    return CheckFailed(
        "another process of this training has ended or does not answer any more; the last saved state is "
        f"kept. To go on, with as many processes as you like: {command}"
    )
