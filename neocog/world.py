"""The world a training runs in: device, precision, threads. Nothing else asks the machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from neocog import cores, openmp
from neocog.errors import UsageError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Masks = Literal["bits", "torch"]
"""What dropout's masks are made of: raw random bits, or torch's own draws, which is slower on a CPU."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class World:
    """Where tensors live, in which precision convolutions run, and what dropout's masks are made of."""

    device: torch.device
    precision: Literal["float32", "bfloat16", "float16"]
    masks: Masks = "torch"

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    def autocast(self) -> torch.autocast:
        """Mixed precision for a forward pass; does nothing in float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.precision != "float32")

    def scaler(self) -> torch.amp.GradScaler:
        """Gradient scaling; does nothing unless float16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")

    def seed(self, number: int) -> None:
        """The default generators begin anew, as after `torch.manual_seed`, which also asks for every kind of
        GPU that there is not, each with a stack trace: a fifth of a millisecond.
        """
        torch.default_generator.manual_seed(number)
        if self.device.type == "cuda":
            torch.cuda.manual_seed_all(number)


def find(device: str = "auto", precision: Precision = "auto", masks: Masks = "bits") -> World:
    """The world for what was asked. `UsageError` where the machine has no such device. On a CPU the process
    keeps the memory it frees from here on; elsewhere `masks` are torch's.
    """
    chosen = _device(device)
    if chosen.type == "cpu":
        _keep_freed_memory()
    if precision == "float16" and chosen.type == "cpu":
        raise UsageError("precision float16 needs a GPU; on a CPU use bfloat16 or float32")
    found = _auto_precision(chosen) if precision == "auto" else precision
    return World(chosen, found, masks if chosen.type == "cpu" else "torch")


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's names and numbers: malloc.h, mallopt(3)
KEPT = 2**30  # bytes; larger than any tensor of a batch


def _keep_freed_memory() -> None:
    """glibc gives every freed tensor of some MiB back to the kernel and asks for it again in the next step,
    page by page: a tenth to a third of a step's time. Elsewhere there is nothing to set.
    """
    mallopt = _of_glibc("mallopt")
    mallopt(M_MMAP_THRESHOLD, KEPT)
    mallopt(M_TRIM_THRESHOLD, KEPT)


def give_back_memory() -> None:
    """What was freed goes back to the kernel now, so that what comes next does not add to it."""
    _of_glibc("malloc_trim")(0)


def free_memory(device: torch.device) -> int | None:
    """Bytes that a process may still take on `device`, with the limit of its container; None where that is
    not known.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_available(Path("/proc/meminfo")), _below_limit(Path("/sys/fs/cgroup"))]
    return min((number for number in found if number is not None), default=None)


def _available(meminfo: Path) -> int | None:
    """The line `MemAvailable: 123 kB` in bytes."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _below_limit(group: Path) -> int | None:
    """What a control group (version 2) may still take, with the files that it keeps in memory only as long
    as nobody wants it; None without a limit.
    """
    try:
        limit, used, parts = ((group / f"memory.{n}").read_text().strip() for n in ("max", "current", "stat"))
    except OSError:
        return None
    spare = next(
        (int(line.split()[1]) for line in parts.splitlines() if line.startswith("inactive_file ")), 0
    )
    return max(int(limit) - int(used) + spare, 0) if limit.isdecimal() else None


def _of_glibc(name: str) -> Callable[..., int]:
    """A function of glibc's malloc; where there is no glibc, one that does nothing."""
    found = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    return found or (lambda *_: 0)


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UsageError(f"unknown device '{device}' (accepted: auto, cpu, cuda, cuda:0, ...)") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"device '{device}' was asked for, but this machine has no CUDA device; use cpu or auto"
        )
    if chosen.type not in ("cpu", "cuda"):
        raise UsageError(f"device '{device}' is not supported (accepted: auto, cpu, cuda, cuda:0, ...)")
    return chosen


def _auto_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 where the hardware multiplies it: convolutions then run about twice as fast."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Same input, same bits, on a CPU with the same number of threads."""
    before = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn")  # `use_deterministic_algorithms` would import torch's compiler
    memory.fill_uninitialized_memory = False  # a help for finding bugs, paid at every step
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        memory.fill_uninitialized_memory = filled


_settled = ContextVar("_settled", default=False)
"""Whether the number of threads is decided further out."""


@contextlib.contextmanager
def as_many_threads(number: int | None) -> Iterator[None]:
    """`number` threads do the sums, which are cut at the threads: as many as before give the same bits. Does
    nothing for None, within another number, where a user's OMP_NUM_THREADS says otherwise, or on fewer
    processors than that.
    """
    before = torch.get_num_threads()
    settled = _settled.get() or "OMP_NUM_THREADS" in os.environ
    outer = _settled.set(_settled.get() or number is not None)
    if number is not None and not settled and number <= cores.usable():
        torch.set_num_threads(number)
    try:
        yield
    finally:
        _settled.reset(outer)
        torch.set_num_threads(before)


def remarks(world: World) -> tuple[str, ...]:
    """What slows a training in `world`: cores that are not free, and what cannot be set any more."""
    if world.device.type != "cpu":
        return ()
    threads = torch.get_num_threads()
    return cores.remarks(threads) + openmp.remarks(os.environ, threads)


def facts(world: World) -> dict[str, object]:
    """What a later reader needs to know of the machine."""
    import platform

    return {
        "device": str(world.device),
        "device_name": torch.cuda.get_device_name(world.device)
        if world.device.type == "cuda"
        else platform.processor() or "cpu",
        "precision": world.precision,
        "threads": torch.get_num_threads(),
        "masks": world.masks,
        "waiting": openmp.told(os.environ),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
