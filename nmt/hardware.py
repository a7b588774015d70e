"""What a run computes on: device, precision, and a description to keep with the results."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nmt import distributed, startup
from nmt.config import Device, Precision
from nmt.errors import ConfigError

HALVES = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}
"""The 16-bit types that products can be made in."""


def set_up_cpu(threads: int | None) -> None:
    """Compute with so many threads, or as many as torch takes by itself, and take numbers below 1.2e-38 for 0.

    Such denormal numbers are what is left of the momentum of a unit that has no gradient any more, and processors multiply them very
    slowly: after 4,600 updates of experiment=multi30k_transformer an update took 1.70 s with them and 0.69 s without, on one core. To be
    called before torch computes anything, because its threads take this over when they are started.
    """
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)


def resolve_device(device: Device) -> torch.device:
    """The device to use.

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device is Device.cuda and not available:
        raise ConfigError("`device` is cuda, but torch finds no CUDA device; `device=auto` takes what there is")
    return torch.device("cuda" if available and device is not Device.cpu else "cpu")


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """``auto`` by capability, never by timing: bf16 where the hardware multiplies bf16 matrices, otherwise fp32.

    Raises:
        ConfigError: int8 was asked for on another device than the CPU.
    """
    if precision is Precision.int8 and device.type != "cpu":
        raise ConfigError(f"`precision=int8` is for the CPU, but the device is {device.type}; `device=cpu` uses it")
    if precision is not Precision.auto:
        return precision
    if device.type == "cuda":
        return Precision.bf16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.fp32
    capabilities = torch.cpu.get_capabilities()
    return Precision.bf16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else Precision.fp32


def onednn_multiplies_faster() -> bool:
    """Whether this processor makes float32 products faster by oneDNN than by MKL, which torch takes, and which Intel made for its own.

    On an AMD EPYC of the fourth generation by 1.1 to 1.7 times in the shapes of a beam's steps; on an Intel Xeon MKL was faster.
    """
    return torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available() and _cpuinfo("vendor_id") == "AuthenticAMD"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which a model of this precision runs: products of 16-bit numbers where it says so, float32 weights."""
    return torch.autocast(device.type, dtype=HALVES.get(precision, torch.bfloat16), enabled=precision in HALVES)


def matmul_peak(device: torch.device, precision: Precision) -> float:
    """Floating-point operations a second of this machine's matrix products: the best of a few squares, in 0.1 s.

    What a share of the peak is a share of: it is measured with the threads that the process has, not looked up.
    """
    size = 8192 if device.type == "cuda" else 1024
    if device.type == "cpu" and precision is Precision.fp16:
        size = 128  # few processors multiply it, and then 1,024 would take minutes
    kind = {**HALVES, Precision.int8: torch.int8}.get(precision, torch.float32)
    product = torch._int_mm if precision is Precision.int8 else torch.mm
    a, b = (torch.ones(size, size, device=device, dtype=kind) for _ in range(2))
    best = math.inf
    for _ in range(6):  # the first ones warm up
        begun = time.perf_counter()
        product(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def count_flops(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products that a call makes, forward and backward, those on padding among them.

    By torch's formulas, but without its ``FlopCounterMode``, which imports the compiler (1.7 s) and leaves products in place out.
    """
    with _FlopCounter() as counter:
        call()
    flops: int = counter.flops
    return flops


class _FlopCounter(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler to keep it away from here

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operator = getattr(torch.ops.aten, func._schema.name.removeprefix("aten::").removesuffix("_"), None)
        if operator not in flop_registry:
            with self:  # `linear` and `matmul` come whole in inference mode; what they are made of is counted
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        result = func(*args, **(kwargs or {}))
        if operator in flop_registry:
            self.flops += flop_registry[operator](*args, **{**(kwargs or {}), "out_val": result})
        elif operator == torch.ops.aten._int_mm:
            self.flops += 2 * args[0].numel() * args[1].shape[1]
        elif func._schema.name == "mkldnn::_linear_pointwise":
            self.flops += 2 * args[0].numel() * args[1].shape[0]
        return result


def describe(device: torch.device) -> dict[str, Any]:
    """The hardware, for ``status.json`` and tables of results."""
    description: dict[str, Any] = {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "processes": distributed.world_size(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "allocator": startup.allocator(),
    }
    if device.type == "cuda":
        description["gpu"] = torch.cuda.get_device_name(device)
    return description


def _cpuinfo(key: str) -> str | None:
    """What Linux says of the first processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith(key))
    except (OSError, StopIteration):
        return None
