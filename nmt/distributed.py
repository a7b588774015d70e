"""The processes that ``torchrun`` started to train one model together: one for each GPU, or one for each share of a CPU's cores.

Every process holds the whole model and makes some micro-batches of every update; gradients are summed, so that all make the same change
of the same weights. Sentences to be translated are shared out too. The main one, of rank 0, alone writes and shows. Without ``torchrun``
there is one process, and nothing here costs anything.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from nmt.errors import RunFailure, UserError

T = TypeVar("T")


class ProcessLost(RunFailure):
    """Another process of the group ended or failed, so that this one cannot go on; that one says why."""


TIMEOUT = timedelta(days=7)
"""How long a process waits for the others: the main one may prepare or validate for hours. Over gloo one that died is noticed at once."""


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes while the block runs: over gloo, and over NCCL for what is on a GPU. Only the main one logs all.

    Raises:
        UserError: there are more processes on this machine than GPUs.
        ProcessLost: another process ended before all had met.
    """
    if not _under_torchrun():
        yield
        return
    backend = "gloo"
    if device.type == "cuda":
        local_rank, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local_rank >= gpus:
            raise UserError(f"{os.environ['LOCAL_WORLD_SIZE']} processes need as many GPUs, but there are {gpus}")
        torch.cuda.set_device(local_rank)
        backend = "cpu:gloo,cuda:nccl"
    _exchange(lambda: dist.init_process_group(backend, timeout=TIMEOUT))
    if not is_main():
        logging.getLogger().setLevel(logging.WARNING)
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, from 0."""
    return int(os.environ["RANK"]) if _under_torchrun() else 0


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ["WORLD_SIZE"]) if _under_torchrun() else 1


def is_main() -> bool:
    return rank() == 0


def main_first(call: Callable[[], T]) -> T:
    """What ``call`` gives, in the main process before it is called in the others.

    Raises:
        ProcessLost: another process ended.
    """
    if not is_main():
        _exchange(dist.barrier)
    result = call()
    if is_main() and world_size() > 1:
        _exchange(dist.barrier)
    return result


def sum_in_place(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, the same to the bit in all of them; the tensors share type and device.

    Raises:
        ProcessLost: another process ended.
    """
    if world_size() == 1:
        return
    # one exchange, because each costs about as much as 100 kB of gradients
    together = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _exchange(lambda: dist.all_reduce(together))
    for tensor, part in zip(tensors, together.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def share(items: Sequence[T]) -> Sequence[T]:
    """Those of the items that fall to this process, as evenly as can be."""
    return items[rank() :: world_size()]


def gathered(value: T) -> list[T]:
    """The value of each process, by rank.

    Raises:
        ProcessLost: another process ended.
    """
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    _exchange(lambda: dist.all_gather_object(values, value))
    return values


def maxima(*values: float) -> list[float]:
    """The greatest of each value over all processes.

    Raises:
        ProcessLost: another process ended.
    """
    if world_size() == 1:
        return list(values)
    greatest = torch.tensor(values, dtype=torch.float64)
    _exchange(lambda: dist.all_reduce(greatest, dist.ReduceOp.MAX))
    return greatest.tolist()


def from_main(call: Callable[[], float]) -> float:
    """What ``call`` gives in the main process, which alone calls it.

    Raises:
        ProcessLost: another process ended.
    """
    if world_size() == 1:
        return call()
    value = torch.tensor(call() if is_main() else 0.0, dtype=torch.float64)
    _exchange(lambda: dist.broadcast(value, 0))
    return value.item()


def _under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _exchange(call: Callable[[], object]) -> None:
    try:
        call()
    except RuntimeError as error:
        raise ProcessLost(f"process {rank()} lost the others; one may have ended: {str(error).splitlines()[0]}") from error
