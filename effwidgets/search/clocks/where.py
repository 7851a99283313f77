"""What, beside a piece itself, decides how long it takes: the machine, its threads, torch and its switches."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import torch

__all__ = ["place_text", "processor"]


@functools.cache
def processor() -> str:
    """Return what the processor calls itself.

    >>> processor() != ""
    True
    """
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def place_text(device: torch.device) -> str:
    """Return a text that differs where the same work takes another time."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    switches = (
        torch.get_float32_matmul_precision(),
        torch.backends.mkldnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled(device.type),
        torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type),
    )
    return f"{torch.__version__}|{device.type}|{name}|{torch.get_num_threads()}|{switches}"
