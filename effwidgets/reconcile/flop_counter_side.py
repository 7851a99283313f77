"""torch's `FlopCounterMode` on a private copy of a model, with a line of our own beside each number of its."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any, Self

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from effwidgets.profiling.calls import Call, map_tensors, run, tensors_in
from effwidgets.profiling.failures import is_empty, quiet, real_stand_in
from effwidgets.profiling.shadow import copy_tree
from effwidgets.reconcile.ledger import Kind, Work, back, climb, ledger_like
from effwidgets.reconcile.side import Side
from effwidgets.reconcile.stacked import stacked

__all__ = ["flop_counter"]

_FLOPS_PER_MAC = 2


class _Tracker(ModuleTracker):
    """torch's tracker of modules; its hooks are called by us, so that no module of another thread meets them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


class _Beside:
    """Reads the counter after each operation: what has come is what it counted for this one."""

    def __init__(self, counter: FlopCounterMode) -> None:
        self._counter = counter
        self._last = 0

    def __call__(self, work: Work, given: tuple[Any, Any, Any]) -> Work:
        flops = self._counter.get_total_flops()
        theirs, self._last = (flops - self._last) // _FLOPS_PER_MAC, flops
        names = frozenset(self._counter.mod_tracker.parents) if theirs else frozenset()
        fault, excess = _grouped(given[0]) if work.op == "convolution_backward" else ("", 0)
        return replace(work, theirs=theirs, credited=names, fault=fault, excess=excess)


def _grouped(args: Any) -> tuple[str, int]:
    # Its formula takes the gradient of the weights for that of an undivided convolution (flop_counter.py,
    # conv_backward_flop): groups times the work, once for each position of the kernel and the places it meets.
    grad, image, weight, transposed, groups, wanted = args[0], args[1], args[2], args[7], args[9], args[10]
    if groups <= 1 or not wanted[1]:
        return "", 0
    places = image if transposed else grad
    once = int(grad.shape[0] * prod(places.shape[2:]) * weight.numel())
    return "grouped_backward", (groups - 1) * once


def flop_counter(model: nn.Module, call: Call, *, train: bool, backward: bool, meta: bool) -> Side:
    """Let `FlopCounterMode` count one call.

    It runs on a full copy of the model, on the model's own device: that is what its users see. ``meta``, and a model
    that stands on meta, runs without numbers: there no kernel is fused.

    Raises:
        Exception: whatever the forward or the counter raises.
    """
    with _disable_current_modes(), torch.inference_mode(mode=False), quiet():
        if meta or is_empty(model, call):
            return climb(
                lambda kind: _count(_on_meta(model), map_tensors(call, _meta_tensor), kind, how=(train, backward))
            )
        return climb(lambda kind: _count_for_real(model, call, kind, how=(train, backward)))


def _count_for_real(model: nn.Module, call: Call, kind: Kind, *, how: tuple[bool, bool]) -> Side:
    with real_stand_in(model, call) as (copy, given):
        for tensor, twin in zip(tensors_in(call), tensors_in(given), strict=True):
            if tensor.requires_grad:
                twin.requires_grad_()
        return _count(copy, given, kind, how=how)


def _on_meta(model: nn.Module) -> nn.Module:
    return copy_tree(model, _meta_tensor)


def _meta_tensor(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)
    return (
        nn.Parameter(empty.detach(), requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    )


def _count(model: nn.Module, call: Call, kind: Kind, *, how: tuple[bool, bool]) -> Side:
    train, backward = how
    model.train(train)
    counter = FlopCounterMode(display=False)
    tracker = counter.mod_tracker = _Tracker()
    stack = [""]
    called: Counter[str] = Counter()
    beside = ledger_like(kind)(lambda: stack[-1], None, judge=_Beside(counter))
    with torch.set_grad_enabled(backward), _followed(model, tracker, (stack, called)), counter, beside:
        outputs = run(model, call)
        if backward:
            back(beside, outputs)
    return _side(model, counter, (tracker, called), beside.works)


@contextmanager
def _followed(model: nn.Module, tracker: Any, seen: tuple[list[str], Counter[str]]) -> Iterator[None]:
    stack, called = seen

    def entered(path: str, module: nn.Module, args: Any, _out: Any) -> None:
        stack.append(path)
        called[path] += 1
        tracker._fw_pre_hook(module, args)

    def left(_path: str, module: nn.Module, args: Any, out: Any) -> None:
        tracker._fw_post_hook(module, args, out)
        stack.pop()

    with stacked(model, entered, left):
        yield


def _side(model: nn.Module, counter: FlopCounterMode, seen: tuple[Any, Counter[str]], works: list[Work]) -> Side:
    tracker, called = seen
    flops = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    # The total is printed as "Global"; every other row under the class of the model that was called first.
    names = {path: str(tracker._known_modules.get(module, "")) for path, module in model.named_modules()}
    names[""] = "Global"
    own: Counter[str] = Counter()
    for work in works:
        own[work.layer] += work.theirs
    whole = {path: flops.get(name, 0) // _FLOPS_PER_MAC for path, name in names.items() if not path or called[path]}
    return Side(
        flops=flops.get("Global", 0),
        works=works,
        own=dict(own),
        whole=whole,
        names=names,
        idle=frozenset(path for path in names if not called[path]),
    )
