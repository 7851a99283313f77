"""How long a forward of the whole model takes, measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import nn

from effwidgets.profiling.calls import Call, batch_of, map_tensors, run, tensors_in
from effwidgets.profiling.failures import python_random_kept
from effwidgets.profiling.shadow import copy_tree
from effwidgets.records import Latency

__all__ = ["measure_latency"]

_WARM_UP: Final = 3
_FEWEST: Final = 10
_MOST: Final = 200
_ENOUGH_S: Final = 0.5  # of measuring; a fast model is repeated until then


def measure_latency(model: nn.Module, call: Call, *, train: bool = False) -> Latency:
    """Time forwards without gradients; median and interquartile range in seconds.

    Runs on a copy that shares the parameters and has its own buffers, each time with inputs of its own, so neither the
    model nor the inputs are touched; random states are as before afterwards. On a GPU every run is waited for.
    """
    twin = copy_tree(model, lambda tensor: tensor if isinstance(tensor, nn.Parameter) else tensor.detach().clone())
    twin.train(train)
    device = next((tensor.device for tensor in (*tensors_in(call), *model.parameters())), torch.device("cpu"))
    with _random_kept(model, call), torch.no_grad():
        times = _times(twin, call, device)
    first, median, third = statistics.quantiles(times, n=4)
    return Latency(
        median_s=median,
        iqr_s=third - first,
        repeats=len(times),
        device=str(device),
        threads=torch.get_num_threads(),
        batch=batch_of(call),
    )


@contextmanager
def _random_kept(model: nn.Module, call: Call) -> Iterator[None]:
    # In eval mode too: some forwards draw numbers whatever the mode. Not by generators of its own (`Dice`), as
    # elsewhere beside the main thread: the time of that mode would be measured too.
    tensors = (*tensors_in(call), *model.parameters(), *model.buffers())
    devices = sorted({tensor.device.index or 0 for tensor in tensors if tensor.is_cuda})
    with python_random_kept(), torch.random.fork_rng(devices=devices):
        yield


def _own(call: Call) -> Call:
    # Some forwards write into their inputs: the caller's stay, and each run begins with the same.
    own: Call = map_tensors(call, lambda tensor: tensor.detach().clone())
    return own


def _times(model: nn.Module, call: Call, device: torch.device) -> list[float]:
    for _ in range(_WARM_UP):
        run(model, _own(call))
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _ENOUGH_S and len(times) < _MOST):
        own = _own(call)
        _wait(device)
        start = time.perf_counter()
        run(model, own)
        _wait(device)
        times.append(time.perf_counter() - start)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
