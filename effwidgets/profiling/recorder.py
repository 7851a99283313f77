"""What runs where: the stack of running modules.

Guards stand around the modules of a private copy. An operation is written to the tally on top of the stack: nothing
walks over the modules while an operation runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from effwidgets.profiling.calls import shapes_of, tensors_in
from effwidgets.profiling.ends import Ends, Trail
from effwidgets.profiling.memory import Ledger
from effwidgets.profiling.tree import tree_of
from effwidgets.records import Shape

__all__ = ["Recorder", "Tally"]


class Tally:
    """What one module did itself, apart from the modules inside it."""

    __slots__ = (
        "backward_macs",
        "calls",
        "elementwise_ops",
        "ends",
        "inputs",
        "kind",
        "macs",
        "moved_bytes",
        "name",
        "output_bytes",
        "outputs",
        "saved_bytes",
        "uncounted",
        "uncounted_backward",
    )

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.clear()

    def clear(self) -> None:
        """Drop all that was noted."""
        self.calls = 0
        self.macs = 0
        self.backward_macs = 0
        self.elementwise_ops = 0
        self.moved_bytes = 0
        self.output_bytes = 0
        self.saved_bytes = 0
        self.inputs: tuple[Shape, ...] | None = None
        self.outputs: tuple[Shape, ...] | None = None
        self.ends: Ends | None = None
        self.uncounted: dict[str, int] = {}
        self.uncounted_backward: dict[str, int] = {}


_OF_FORWARD: Final = (
    "calls",
    "elementwise_ops",
    "inputs",
    "macs",
    "moved_bytes",
    "output_bytes",
    "outputs",
    "uncounted",
)


class Recorder:
    """One tally for each module, and the stack of those that are running.

    Args:
        model: a private copy; guards stand around its modules while `watching`.
        trail: notes who works and who keeps something for the backward, and has what modules take and return noted
            too; None where nobody asks.
    """

    def __init__(self, model: nn.Module, trail: Trail | None = None) -> None:
        self.tree = tree_of(model)
        self._modules = self.tree.modules
        self.tallies = {name: Tally(name, type(module).__name__) for name, module in self._modules.items()}
        self.root = self.tallies[""]
        self.stack = [self.root]
        self.trail = trail
        self.hidden: set[str] = set()  # layers whose kernels keep memory that no operation returns
        self._failure: tuple[BaseException | None, Tally] = (None, self.root)

    def failed(self, error: BaseException) -> Tally:
        """Return the innermost module through which ``error`` came, or that was running when it came."""
        return self._failure[1] if self._failure[0] is error else self.stack[-1]

    def left(self, tally: Tally, error: BaseException | None = None) -> None:
        """Take a module off the stack; ``error`` is what took it off, when it was not its return."""
        if error is not None and self._failure[0] is not error:
            self._failure = (error, tally)
        stack = self.stack
        while len(stack) > 1 and stack.pop() is not tally:
            pass

    def forget(self) -> None:
        """Begin anew: what was noted so far is dropped."""
        self.hidden.clear()
        if self.trail is not None:
            self.trail.since.clear()
        for tally in self.tallies.values():
            tally.clear()

    def forget_forward(self) -> dict[str, dict[str, Any]]:
        """Drop what was noted of the forward, but not what it keeps for the backward; returns what was dropped."""
        dropped = {}
        for tally in self.tallies.values():
            dropped[tally.name] = {part: getattr(tally, part) for part in _OF_FORWARD}
            new = Tally(tally.name, tally.kind)
            for part in _OF_FORWARD:
                setattr(tally, part, getattr(new, part))
        return dropped

    def bring_back(self, dropped: dict[str, dict[str, Any]]) -> None:
        """Note again what `forget_forward` dropped."""
        for name, parts in dropped.items():
            for part, value in parts.items():
                setattr(self.tallies[name], part, value)

    def module_of(self, tally: Tally) -> nn.Module:
        """Return the module that a tally belongs to."""
        return self._modules[tally.name]

    @contextmanager
    def watching(self, ledger: Ledger | None = None) -> Iterator[None]:
        """Keep the stack; with a ledger also calls, shapes and output bytes."""
        del self.stack[1:]
        try:
            for name, module in self._modules.items():
                tally = self.tallies[name]
                guard = _Guard(self, tally, module) if ledger is None else _Counter(self, tally, module, ledger)
                module.__dict__[_CALLED] = guard
            with _slow_path(self._modules.values()):
                yield
        finally:
            for module in self._modules.values():
                module.__dict__.pop(_CALLED, None)


# What `nn.Module.__call__` looks at first. Hooks would do as well, and take three times as long.
_CALLED: Final = "_compiled_call_impl"


class _Guard:
    """Stands around the calls of one module, hooks included: on the stack, off the stack."""

    __slots__ = ("_call", "_recorder", "_tally")

    def __init__(self, recorder: Recorder, tally: Tally, module: nn.Module) -> None:
        self._recorder = recorder
        self._tally = tally
        self._call: Any = module._call_impl

    def __deepcopy__(self, memo: object) -> None:
        """Leave copies alone that a forward makes of its layers: what they do is the work of who called them."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        recorder, tally = self._recorder, self._tally
        recorder.stack.append(tally)
        try:
            out = self._call(*args, **kwargs)
        except BaseException as error:
            recorder.left(tally, error)
            raise
        recorder.left(tally)
        return out


class _Counter(_Guard):
    """Also notes calls, the shapes of the first call, and bytes returned for the first time."""

    __slots__ = ("_ledger",)

    def __init__(self, recorder: Recorder, tally: Tally, module: nn.Module, ledger: Ledger) -> None:
        super().__init__(recorder, tally, module)
        self._ledger = ledger

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tally = self._tally
        if self._ledger.backward:  # a checkpoint runs its part again
            return super().__call__(*args, **kwargs)
        tally.calls += 1
        trail, ends = self._recorder.trail, None
        if tally.inputs is None:
            tally.inputs = shapes_of((args, kwargs) if kwargs else args)
            if trail is not None and tally.ends is None:
                ends = tally.ends = Ends(self._ledger, trail, args, kwargs)
        out = super().__call__(*args, **kwargs)
        if tally.outputs is None:
            tally.outputs = shapes_of(out)
            if ends is not None and trail is not None:
                ends.close(self._ledger, trail, (*args, *kwargs.values()) if kwargs else args, out)
        for tensor in (out,) if isinstance(out, torch.Tensor) else tensors_in(out):
            cell = self._ledger.cell_of(tensor)
            if cell is not None and not tally.name:
                cell.readers |= {""}
            if cell is not None and not cell.returned:
                cell.returned = True
                tally.output_bytes += min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
        return out


class _Inert(TorchFunctionMode):
    """Changes nothing; but where it stands, `nn.MultiheadAttention` and the transformer layers see an override."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextmanager
def _slow_path(modules: Any) -> Iterator[None]:
    # The fused path of attention hides all its work in one operation. torch's own switch is process-wide and would
    # change a model that serves on another thread; a mode acts on this thread alone.
    fused = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)
    if any(isinstance(module, fused) for module in modules):
        with _Inert():
            yield
    else:
        yield
