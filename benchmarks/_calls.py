"""How many Python functions are called for each operation that a profile sees, by depth of the model."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks._contenders import COUNTS
from benchmarks._verdicts import verdict
from effwidgets.profiling import Call, make_shadow, profile, run

DEPTHS: Final = (12, 48, 192)


class _Ops(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def stack(depth: int) -> nn.Module:
    """A transformer encoder of that depth, on meta."""
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False).eval()


def operations(model: nn.Module, call: Call) -> int:
    """Return the number of operations of one forward, not fused: with gradients."""
    shadow = make_shadow(model)
    with shadow.mode, _Ops() as ops:
        run(shadow.model, shadow.fake(call))
    return ops.count


def python_calls(model: nn.Module, call: Call) -> int:
    """Return the number of calls of Python functions in one profile."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        profile(model, call, options=COUNTS)
    finally:
        sys.setprofile(None)
    return count


def calls_by_depth() -> None:
    """Print calls for each operation at each depth, and by how much they differ."""
    call = Call((torch.zeros(1, 32, 64),))
    profile(stack(2), call, options=COUNTS)  # caches
    each = {depth: python_calls(stack(depth), call) / operations(stack(depth), call) for depth in DEPTHS}
    said = ", ".join(f"{value:.1f} at {depth}" for depth, value in each.items())
    print(f"Python calls for each traced operation, encoder of so many layers: {said}")
    spread = 100 * (max(each.values()) / min(each.values()) - 1)
    print(verdict("largest beyond smallest", spread, 2, "%"))
