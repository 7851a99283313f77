"""The two passes: one without gradients for work and inference memory, one with them for the backward."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch.autograd.graph import saved_tensors_hooks

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.memory import Live, Once
from effwidgets.profiling.recorder import Observer, Recorder, Tally
from effwidgets.profiling.values import Values

__all__ = ["BackwardPass", "ForwardPass", "Keeper"]

_HIDING: Final = frozenset({"mkldnn_rnn_layer"})


class ForwardPass(Observer):  # type: ignore[no-untyped-call]
    """Counts MACs, element operations and bytes, and follows what is alive."""

    def __init__(self, recorder: Recorder, live: Live, values: Values | None) -> None:
        super().__init__(values)
        self._recorder = recorder
        self._stack = recorder.stack
        self._live = live

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Write one operation to the layer that is running."""
        tally = self._stack[-1]
        self._live.add(outputs, tally.name)
        if rule.kind == "view":
            return
        largest = 0
        for tensor in (*inputs, *outputs):
            entries = tensor.numel()
            tally.moved_bytes += entries * tensor.element_size()
            largest = max(largest, entries)
        if rule.kind == "elementwise":
            tally.elementwise_ops += largest
        elif rule.kind != "move":
            macs = rule.macs(*given)
            if macs is None:
                tally.uncounted[rule.name] = tally.uncounted.get(rule.name, 0) + 1
            else:
                tally.macs += macs
            if rule.name in _HIDING:
                self._recorder.hidden.add(tally.name)


class Keeper:
    """Counts the bytes that autograd keeps, each storage once, for the layer that kept it first.

    Args:
        outside: tensors that do not count (parameters, buffers, inputs); they must outlive this.
    """

    def __init__(self, recorder: Recorder, outside: Iterable[torch.Tensor]) -> None:
        self._once = Once(outside)
        self._stack = recorder.stack

    def hooks(self) -> saved_tensors_hooks:
        """Return the context in which what is kept is counted."""
        return saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = self._once.meet(tensor)
        if storage is not None:
            self._stack[-1].saved_bytes += storage.nbytes()
        return tensor


class BackwardPass(Observer):  # type: ignore[no-untyped-call]
    """Follows what is alive in a forward and its backward, and counts the backward's MACs by layer.

    Autograd gives every operation that it records a number, and runs its backward under the same number: the layer
    that was running when the number was given is the layer to which the backward belongs.
    """

    def __init__(self, recorder: Recorder, live: Live, values: Values | None) -> None:
        super().__init__(values)
        self._stack = recorder.stack
        self._live = live
        self._layer_of: dict[int, Tally] = {}
        self._root = recorder.root
        self._backward = False

    def backward(self, outputs: Any) -> None:
        """Run the backward from every floating-point tensor in ``outputs`` that has one."""
        ends = [tensor for tensor in tensors_in(outputs) if tensor.requires_grad]
        self._backward = True
        self._values = None  # nobody asks for values on the way back
        if ends:
            torch.autograd.backward(ends, [torch.ones_like(tensor) for tensor in ends])

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:  # noqa: ARG002
        """In the forward, note numbers; in the backward, count."""
        if not self._backward:
            tally = self._stack[-1]
            # The first writer keeps the number: what follows may take none of its own.
            self._layer_of.setdefault(torch._C._autograd._get_sequence_nr() - 1, tally)
        else:
            node = torch._C._current_autograd_node()
            tally = self._root if node is None else self._layer_of.get(node._sequence_nr(), self._root)
            if rule.kind in ("matrix", "unknown"):
                macs = rule.macs(*given)
                if macs is not None:
                    tally.backward_macs += macs
        self._live.add(outputs, tally.name)
