"""The counting pass: one forward, and its backward, for work by layer and for what is alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks

from effwidgets.profiling.answers import Answer, Answers, Make, Work, work_of
from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.coupling.flow import Flow
from effwidgets.profiling.coupling.steps import carried
from effwidgets.profiling.doubts import Doubts
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.memory import Cell, Ledger, storage_of
from effwidgets.profiling.observer import Observer
from effwidgets.profiling.recorder import Recorder, Tally
from effwidgets.profiling.values import Values

__all__ = ["CountingPass", "Keeper", "pass_after"]


class CountingPass(Observer):  # type: ignore[no-untyped-call]
    """Counts MACs, element operations and bytes by layer, and follows what is alive, in a forward and its backward.

    Autograd gives every operation that it records a number, and runs its backward under the same number: the layer
    that was running when the number was given is the layer to which the backward belongs.

    Args:
        counts: whether the forward's work is counted, or was before.
        flow: follows channels beside, through the forward; taken off where it fails, with `flow_error`.
    """

    def __init__(
        self,
        recorder: Recorder,
        ledger: Ledger,
        values: Values | None,
        *,
        counts: bool = True,
        flow: Flow | None = None,
    ) -> None:
        super().__init__(values)
        self.flow = flow
        self.flow_error: Exception | None = None
        self.doubts: Doubts | None = None
        self._recorder = recorder
        self._stack = recorder.stack
        self._trail = recorder.trail
        self._ledger = ledger
        self._counts = counts
        self._layer_of: dict[int, Tally] = {}
        self.given: Sequence[torch.Tensor] = ()  # parameters, buffers and inputs of this run
        self.foreign = False  # whether parameters took part that are not among them

    def backward(self, outputs: Any) -> bool:
        """Run the backward from every floating-point tensor in ``outputs`` that has one; say whether there was any."""
        ends = [tensor for tensor in tensors_in(outputs) if tensor.requires_grad]
        self._ledger.backward = True
        self.flow = self.doubts = None
        if ends:
            # Where a layer outside of the model took part, its parameters are somebody else's to write gradients into.
            ours = (
                [tensor for tensor in self.given if tensor.requires_grad and tensor.is_leaf] if self.foreign else None
            )
            if ours != []:
                torch.autograd.backward(ends, [torch.ones_like(tensor) for tensor in ends], inputs=ours)
        return bool(ends)

    def replay(self, answer: Answer, given: tuple[Any, Any, Any], inputs: list[Any], fresh: list[Any]) -> None:
        """Count an operation that was answered from memory."""
        if self.flow is not None:
            self._follow(answer.rule, given, inputs, list(tensors_in(given[2])))
        if self.doubts is not None:
            self.doubts.notice(answer.rule, inputs)
        tally = self._running()
        if answer.rule.kind != "view":
            self._add(tally, answer.work)
            if self._trail is not None:
                self._read(tally, inputs)
        if fresh:
            ledger = self._ledger
            for storage, size in fresh:
                ledger.open(storage, size)
            ledger.mark(tally.name)
        if self.flow is not None and answer.rule.kind != "view":
            self._carry(given[2])

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Count one operation."""
        if self.flow is not None:
            self._follow(rule, given, inputs, outputs)
        if self.doubts is not None:
            self.doubts.notice(rule, inputs)
        if not self.foreign and not self._ledger.backward:
            self.foreign = any(
                tensor.requires_grad and tensor.is_leaf and self._is_foreign(tensor) for tensor in inputs
            )
        tally = self._running()
        if rule.kind != "view":
            self._add(tally, work_of(rule, given, inputs, outputs))
            if self._trail is not None:
                self._read(tally, inputs)
        self._ledger.add(outputs, tally.name)
        if self.flow is not None and rule.kind != "view":
            self._carry(outputs)

    def _read(self, tally: Tally, inputs: list[Any]) -> None:
        """Note who reads what a layer returned or was given."""
        if self._ledger.backward:
            return
        for tensor in inputs:
            cell = self._ledger.find(tensor)
            if cell is not None and (cell.returned or cell.given) and tally.name not in cell.readers:
                cell.readers |= {tally.name}

    def _carry(self, out: Any) -> None:
        """Note on the storages that an operation made which channels lie along their dimensions."""
        for tensor in (out,) if isinstance(out, torch.Tensor) else tensors_in(out):
            axes = carried(tensor)
            if axes is not None:
                cell = self._ledger.cell_of(tensor)
                if cell is not None and cell.carries is None:
                    cell.carries = (tuple(tensor.shape), axes)

    def _is_foreign(self, tensor: torch.Tensor) -> bool:
        if self.answers is not None:
            return not isinstance(tensor, self.answers.fakes.type)
        storage = storage_of(tensor)
        return storage is not None and storage._cdata not in self._ledger.outside

    def _follow(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        assert self.flow is not None  # noqa: S101  asked before
        try:
            self.flow.observe(rule, given, inputs, outputs)
        except Exception as error:  # noqa: BLE001  operations of any kind come by; the counts go on without channels
            self.flow, self.flow_error = None, error

    def _running(self) -> Tally:
        if self._ledger.backward and len(self._stack) == 1:
            node = torch._C._current_autograd_node()
            return self._recorder.root if node is None else self._layer_of.get(node._sequence_nr(), self._recorder.root)
        tally = self._stack[-1]
        if self._ledger.backward:  # a checkpoint runs its part again: its own numbers, its own layers
            self._layer_of[torch._C._autograd._get_sequence_nr() - 1] = tally
            return tally
        # The first writer keeps the number: what follows may take none of its own.
        self._layer_of.setdefault(torch._C._autograd._get_sequence_nr() - 1, tally)
        return tally

    def _add(self, tally: Tally, work: Work) -> None:
        if self._ledger.backward:
            tally.backward_macs += work.macs
            if work.unknown is not None:
                tally.uncounted_backward[work.unknown] = tally.uncounted_backward.get(work.unknown, 0) + 1
        elif self._counts:
            tally.macs += work.macs
            if work.macs and self._trail is not None:
                self._trail.since.append((tally.name, work.macs))
            tally.elementwise_ops += work.elementwise_ops
            tally.moved_bytes += work.moved_bytes
            if work.unknown is not None:
                tally.uncounted[work.unknown] = tally.uncounted.get(work.unknown, 0) + 1
            if work.hides:
                self._recorder.hidden.add(tally.name)


class CompiledPass(CountingPass):  # type: ignore[no-untyped-call]
    """For a forward that calls what `torch.compile` made: keeps the compiler out of the pass itself.

    Every operation costs twice as much, so it is taken where the plain pass failed for that reason alone.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)


class HigherPass(CompiledPass):  # type: ignore[no-untyped-call]
    """For operations that take functions, such as `flex_attention`."""

    supports_higher_order_operators = True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Tell the compiler to go on inside this mode."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)


def pass_after(kind: type[CountingPass], error: Exception) -> type[CountingPass] | None:
    """Return the kind of pass to try after ``kind`` failed with ``error``; None when the failure is the model's own."""
    if kind is not HigherPass and "HigherOrderOperator" in str(error):
        return HigherPass
    if kind is CountingPass and _of_compiler(error):
        return CompiledPass
    return None


def _of_compiler(error: Exception) -> bool:
    if type(error).__module__.startswith("torch._dynamo"):
        return True
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__") == "torch._dynamo.convert_frame":
            return True
        frame = frame.tb_next
    return False


class _Kept:
    """What stands for a tensor that autograd keeps: its make and its storage's cell, and not the tensor."""

    __slots__ = ("cell", "ledger", "make")

    def __init__(self, cell: Cell, make: Make, ledger: Ledger) -> None:
        self.cell = cell
        self.make = make
        self.ledger = ledger
        ledger.hold(cell)

    def __del__(self) -> None:
        self.ledger.release(self.cell)


class Keeper:
    """Counts the bytes that autograd keeps, each storage once, for the layer that kept it first.

    On a shadow a description is kept in place of the tensor, so that storages go when the model itself lets them go,
    as in a run without gradients; the tensor is made again when the backward asks for it.

    Args:
        answers: makes fake tensors; None in a run with real ones, which are kept themselves.

    Attributes:
        kept: the storages that are kept, with their bytes and the layer.
    """

    def __init__(self, recorder: Recorder, ledger: Ledger, answers: Answers | None) -> None:
        self.kept: list[tuple[Cell, int, str]] = []
        # Its own hook holds this: were the recorder held too, an error's frames would keep the model alive.
        self._stack, self._trail = recorder.stack, recorder.trail
        self._ledger = ledger
        self._answers = answers
        self.pack = self._pack  # one object, so that it can be known again

    def hooks(self) -> saved_tensors_hooks:
        """Return the context in which what is kept is counted."""
        return saved_tensors_hooks(self.pack, self._unpack)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor | _Kept:
        trail, name = self._trail, self._stack[-1].name
        if trail is not None:
            trail.packed(name)
        cell = self._ledger.cell_of(tensor)
        if cell is None:
            return tensor
        if trail is not None and name not in cell.keepers:
            cell.keepers |= {name}
        if not cell.saved:
            cell.saved = True
            tally, size = self._stack[-1], tensor.untyped_storage().nbytes()
            tally.saved_bytes += size
            self.kept.append((cell, size, tally.name))
        make = None if self._answers is None else self._answers.make_of(tensor)
        return tensor if make is None else _Kept(cell, make, self._ledger)

    def _unpack(self, kept: torch.Tensor | _Kept) -> torch.Tensor:
        if isinstance(kept, torch.Tensor):
            return kept
        assert self._answers is not None  # noqa: S101  it made the description
        return self._answers.fake(kept.make, self._ledger.revive(kept.cell, kept.make.bytes))
