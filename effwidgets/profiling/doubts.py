"""Whether a run with gradients went another way than one without would go.

One run on a shadow stands for both, because storages die in it as they would without gradients. Where that does not
hold there are traces, and then the run without gradients is made too. What leaves no trace is left out: a forward that
asks `torch.is_grad_enabled()` or a tensor's ``requires_grad``, and what a hook on a tensor holds.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.autograd.function import BackwardCFunction

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.memory import Ledger, storage_of

__all__ = ["Doubts"]

_PRODUCTS: Final = frozenset({"mm", "mv"})


class Doubts:
    """Looks for traces, operation by operation.

    Args:
        ledger: knows the parameters.
        hooks: the pair of hooks under which the run goes; others on top of them are the model's own.
    """

    __slots__ = ("_blocks", "_cloned", "_hook", "_ledger", "found")

    def __init__(self, ledger: Ledger, hook: Any) -> None:
        self.found = False
        self._hook = hook
        self._ledger = ledger
        self._cloned = 0  # the id of what the last operation copied
        self._blocks = False

    def notice(self, rule: Rule, inputs: list[Any]) -> None:
        """Look at one operation of the forward."""
        if not torch.is_grad_enabled():
            self._blocks = True
            return
        if torch._C._current_autograd_node() is not None:
            self.found = True  # `autograd.grad` inside the forward: its graph holds what a run without one lets go
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)  # noqa: FBT003
        if hooks is None or hooks[0] is not self._hook:
            self.found = True  # the model keeps tensors in a way of its own, such as `save_on_cpu` or a checkpoint
        name = rule.name
        if name == "clone":
            self._cloned = id(inputs[0])
            return
        if rule.mutates:
            # Autograd itself copies what is written into, where the backward needs it as it was.
            self.found |= any(id(tensor) == self._cloned for tensor in inputs)
        elif name == "_safe_softmax":
            self.found = True  # attention is taken apart when its mask asks for a gradient
        elif name in _PRODUCTS and len(inputs) > 1 and inputs[1].requires_grad:
            # `matmul` folds a batch into rows for a matrix that asks for a gradient; a parameter always does.
            storage = storage_of(inputs[1])
            self.found |= storage is None or storage._cdata not in self._ledger.outside
        self._cloned = 0

    def remain(self, outputs: Any) -> bool:
        """Say whether a run without gradients may hold something else."""
        # An autograd.Function of the model's own runs without gradients; what it keeps on its ctx is not seen.
        return self.found or (self._blocks and _has_own_function(outputs))


def _has_own_function(outputs: Any) -> bool:
    waiting = [tensor.grad_fn for tensor in tensors_in(outputs) if tensor.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if issubclass(type(node), BackwardCFunction):
            return True
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return False
