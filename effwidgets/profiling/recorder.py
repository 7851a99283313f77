"""What runs where: hooks keep the stack of running modules, a dispatch mode sees every operation.

Hooks stand on the modules of a private copy. An operation is written to the tally on top of the stack: nothing walks
over the modules while an operation runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from effwidgets.profiling.answers import Answer, Answers, Question
from effwidgets.profiling.calls import shapes_of, tensors_in
from effwidgets.profiling.kinds import Rule, rule_of
from effwidgets.profiling.memory import Ledger
from effwidgets.profiling.standins import BY_VALUES, STAND_INS
from effwidgets.profiling.tree import tree_of
from effwidgets.profiling.values import Values
from effwidgets.records import Shape

__all__ = ["Observer", "Recorder", "Tally"]


class Tally:
    """What one module did itself, apart from the modules inside it."""

    __slots__ = (
        "backward_macs",
        "calls",
        "elementwise_ops",
        "inputs",
        "kind",
        "macs",
        "moved_bytes",
        "name",
        "output_bytes",
        "outputs",
        "saved_bytes",
        "uncounted",
    )

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.calls = 0
        self.macs = 0
        self.backward_macs = 0
        self.elementwise_ops = 0
        self.moved_bytes = 0
        self.output_bytes = 0
        self.saved_bytes = 0
        self.inputs: tuple[Shape, ...] | None = None
        self.outputs: tuple[Shape, ...] | None = None
        self.uncounted: dict[str, int] = {}


class Recorder:
    """One tally for each module, and the stack of those that are running.

    Args:
        model: a private copy; hooks stand on it while `watching`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.tree = tree_of(model)
        self._modules = self.tree.modules
        self.tallies = {name: Tally(name, type(module).__name__) for name, module in self._modules.items()}
        self.root = self.tallies[""]
        self.stack = [self.root]
        self.hidden: set[str] = set()  # layers whose kernels keep memory that no operation returns
        self._failure: tuple[BaseException | None, Tally] = (None, self.root)

    def failed(self, error: BaseException) -> Tally:
        """Return the innermost module through which ``error`` came, or that was running when it came."""
        return self._failure[1] if self._failure[0] is error else self.stack[-1]

    def left(self, tally: Tally) -> None:
        """Take a module off the stack, and note when an exception takes it off."""
        error = sys.exc_info()[1]
        if error is not None and self._failure[0] is not error:
            self._failure = (error, tally)
        stack = self.stack
        while len(stack) > 1 and stack.pop() is not tally:
            pass

    def forget(self) -> None:
        """Begin anew: what was noted so far is dropped."""
        for tally in self.tallies.values():
            tally.__init__(tally.name, tally.kind)  # type: ignore[misc]

    def module_of(self, tally: Tally) -> nn.Module:
        """Return the module that a tally belongs to."""
        return self._modules[tally.name]

    @contextmanager
    def watching(self, ledger: Ledger | None = None) -> Iterator[None]:
        """Keep the stack; with a ledger also calls, shapes and output bytes."""
        handles = []
        del self.stack[1:]
        try:
            for name, module in self._modules.items():
                guard = (
                    _Guard(self, self.tallies[name]) if ledger is None else _Counter(self, self.tallies[name], ledger)
                )
                handles.append(module.register_forward_pre_hook(guard.enter, prepend=True, with_kwargs=True))
                handles.append(module.register_forward_hook(guard.leave, always_call=True))
            with _slow_path(self._modules.values()):
                yield
        finally:
            for handle in handles:
                handle.remove()


class _Guard:
    """The two hooks of one module: on the stack, off the stack."""

    __slots__ = ("_recorder", "_tally")

    def __init__(self, recorder: Recorder, tally: Tally) -> None:
        self._recorder = recorder
        self._tally = tally

    def __deepcopy__(self, memo: object) -> _Guard:
        return self  # a forward may copy a layer: what the copy does is that layer's work

    def enter(self, _module: nn.Module, _args: Any, _kwargs: Any) -> None:
        self._recorder.stack.append(self._tally)

    def leave(self, _module: nn.Module, _args: Any, _out: Any) -> None:
        self._recorder.left(self._tally)


class _Counter(_Guard):
    """Hooks that also note calls, the shapes of the first call, and bytes returned for the first time."""

    __slots__ = ("_ledger",)

    def __init__(self, recorder: Recorder, tally: Tally, ledger: Ledger) -> None:
        super().__init__(recorder, tally)
        self._ledger = ledger

    def enter(self, _module: nn.Module, args: Any, kwargs: Any) -> None:
        tally = self._tally
        self._recorder.stack.append(tally)
        if self._ledger.backward:  # a checkpoint runs its part again
            return
        tally.calls += 1
        if tally.inputs is None:
            tally.inputs = shapes_of((args, kwargs) if kwargs else args)

    def leave(self, _module: nn.Module, _args: Any, out: Any) -> None:
        tally = self._tally
        self._recorder.left(tally)
        if out is None or self._ledger.backward:  # nothing returned, or an exception on its way out
            return
        if tally.outputs is None:
            tally.outputs = shapes_of(out)
        for tensor in (out,) if isinstance(out, torch.Tensor) else tensors_in(out):
            cell = self._ledger.cell_of(tensor)
            if cell is not None and not cell.returned:
                cell.returned = True
                tally.output_bytes += min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


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


_DEVICE: Final = torch.ops.prim.device.default


class Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__ has no types
    """Sees every operation of one run and hands it to `observe`.

    Args:
        values: where small integers keep their values on a shadow; None in a run with real tensors.
    """

    def __init__(self, values: Values | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._values = values
        self.answers = None if values is None else Answers(values.mode)

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Take note of one operation: its rule, ``(args, kwargs, out)`` and the tensors in them."""
        raise NotImplementedError

    def replay(self, answer: Answer, given: tuple[Any, Any, Any], inputs: list[Any], fresh: list[Any]) -> None:  # noqa: ARG002
        """Take note of an operation that was answered from memory; ``fresh`` are new storages and their bytes."""
        outputs: list[torch.Tensor] = []
        _collect((given[2],), outputs)
        self.observe(answer.rule, given, inputs, outputs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled inside a run; torch's guard against it doubles the price of every operation.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _DEVICE:
            # Half of all that arrives; a fake tensor knows where it stands without being asked through every mode.
            return getattr(args[0], "fake_device", None) or func(*args, **kwargs)
        answers = self.answers
        if answers is None:
            return self._ask(func, args, kwargs, None)
        inputs: list[torch.Tensor] = []
        question = answers.question(func, args, kwargs, inputs)
        answer = None if question is None else answers.known(question)
        if answer is None or (inputs and self._values.known(inputs)):  # type: ignore[union-attr]
            return self._ask(func, args, kwargs, question)
        if answer.rule.looks_up:
            self._values.check_indices(answer.rule.name, args)  # type: ignore[union-attr]
        fresh: list[tuple[torch.UntypedStorage, int]] = []
        out = answers.give(answer, inputs, fresh)
        if answer.rule.mutates:
            self._values.forget(func, args)  # type: ignore[union-attr]
        self.replay(answer, (args, kwargs, out), inputs, fresh)
        return out

    def _ask(self, func: Any, args: Any, kwargs: Any, question: Question | None) -> Any:
        """Run an operation, and remember the answer where ``question`` alone decides it."""
        rule = rule_of(func)
        if rule.kind == "compound":
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        inputs: list[torch.Tensor] = []
        _collect(args, inputs)
        if kwargs:
            _collect(kwargs.values(), inputs)
        if self._values is None:
            out, noted = func(*args, **kwargs), True
        else:
            out, noted, alike = _on_shadow(self._values, rule, (func, args, kwargs), inputs)
            question = question if alike else None
        if noted:
            outputs: list[torch.Tensor] = []
            _collect((out,), outputs)
            if question is not None:
                self.answers.remember(question, rule, (args, kwargs, out), inputs, outputs)  # type: ignore[union-attr]
            self.observe(rule, (args, kwargs, out), inputs, outputs)
        return out


def _on_shadow(values: Values, rule: Rule, asked: tuple[Any, Any, Any], inputs: list[Any]) -> tuple[Any, bool, bool]:
    """Run an operation on fake tensors.

    Returns:
        what it returned; whether that is work to be noted; whether another call with arguments alike returns the like.
    """
    func, args, kwargs = asked
    known = not rule.blank and values.known(inputs)
    if rule.one_dtype:
        rule.check_dtypes(inputs)
    if rule.looks_up:
        values.check_indices(rule.name, args)
    if known and rule.asks:
        return values.answer(func, args, kwargs), False, False
    stand_in = STAND_INS.get(func)
    out = NotImplemented if stand_in is None else stand_in(values, args, kwargs)
    alike = not known
    if out is NotImplemented:
        out = func(*args, **kwargs)
    elif func in BY_VALUES:
        alike = False
    if known:
        values.follow(func, args, kwargs, out)
    elif rule.mutates:
        values.forget(func, args)
    return out, True, alike


def _collect(values: Iterable[object], found: list[torch.Tensor]) -> None:
    # Arguments of operations nest in lists only; this runs for every operation.
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            _collect(value, found)
