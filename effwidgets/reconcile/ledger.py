"""A line for each operation of one run: what ran, in which layer, how many multiply-accumulates.

A profile keeps sums; to match them with the numbers of another counter, each operation is needed by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, TypeAlias, TypeVar

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from effwidgets.errors import Cancelled, EffError
from effwidgets.profiling.calls import Call, run, tensors_in
from effwidgets.profiling.failures import is_empty, model_error, python_random_kept, quiet, real_stand_in
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.observer import Observer
from effwidgets.profiling.passes import CompiledPass, CountingPass, HigherPass, pass_after
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.shadow import make_shadow
from effwidgets.profiling.values import Values

__all__ = ["Kind", "Ledger", "Work", "back", "climb", "ledger_like", "ledger_of"]

Where: TypeAlias = Callable[[], str]
"""Says which layer is running."""

Kind: TypeAlias = type[CountingPass]
"""One of the passes with which a profile tries a forward; see `pass_after`."""

_T = TypeVar("_T")

_IDLE: Final = frozenset({"view", "move", "elementwise"})


Judge: TypeAlias = "Callable[[Work, tuple[Any, Any, Any]], Work]"
"""Adds to a line what another counter makes of the same call: its function, its arguments, what it returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One operation.

    Attributes:
        layer: path of the innermost layer that ran; in a backward, of the layer whose forward it belongs to.
        op: its name, without a namespace.
        macs: by our formula; None where there is none.
        theirs: what the other counter counted for it, in MACs.
        backward: whether it ran in the backward.
        excess: the MACs by which a known fault of the other counter changes its count of this very call.
        fault: the name of that fault.
        again: MACs in it that a run which does not fuse would leave out.
        alive: whether the model's output depends on it.
        credited: the names for which the other counter counted it.
    """

    layer: str
    op: str
    macs: int | None
    theirs: int = 0
    backward: bool = False
    excess: int = 0
    fault: str = ""
    again: int = 0
    alive: bool = True
    credited: frozenset[str] = frozenset()


class Ledger(Observer):  # type: ignore[no-untyped-call]  # torch's __init_subclass__ has no types
    """Writes a line for each operation that may do matrix work.

    Args:
        where: says which layer is running.
        values: as for `Observer`.
        traced: keep what each operation read and wrote, to tell afterwards on which the output depends. Keeps every
            tensor of the run alive, so it is for a shadow.
        judge: says what another counter makes of each line.
    """

    def __init__(
        self, where: Where, values: Values | None, *, traced: bool = False, judge: Judge | None = None
    ) -> None:
        super().__init__(values)
        self.works: list[Work] = []
        self.backward = False
        self._where = where
        self._judge = judge
        self._layer_of: dict[int, str] = {}
        self._traced = traced
        self._flow: list[tuple[int | None, list[int], list[int]]] = []  # line, storages read, storages written
        self._kept: list[Any] = []

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Write one operation down."""
        layer = self._layer()
        line = None
        if rule.kind not in _IDLE:
            line = len(self.works)
            work = Work(layer=layer, op=rule.name, macs=_macs(rule, given), backward=self.backward)
            work = replace(work, again=_again(rule.name, given[0]))
            self.works.append(work if self._judge is None else self._judge(work, given))
        if self._traced and not self.backward:
            self._kept.append(outputs)
            self._flow.append((line, _storages(inputs), _storages(outputs)))

    def _layer(self) -> str:
        # Autograd numbers what it records in the forward and runs its backward under the same number.
        if not self.backward:
            layer = self._where()
            self._layer_of.setdefault(torch._C._autograd._get_sequence_nr() - 1, layer)
            return layer
        node = torch._C._current_autograd_node()
        return "" if node is None else self._layer_of.get(node._sequence_nr(), "")

    def settle(self, outputs: Any) -> None:
        """Mark the operations on which nothing in ``outputs`` depends."""
        wanted = set(_storages(tensors_in(outputs)))
        for line, read, written in reversed(self._flow):
            if wanted.intersection(written):
                wanted.update(read)
            elif line is not None:
                self.works[line] = replace(self.works[line], alive=False)
        self._flow.clear()
        self._kept.clear()


class _CompiledLedger(Ledger):  # type: ignore[no-untyped-call]
    # What `CompiledPass` is to a profile.
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)


class _HigherLedger(_CompiledLedger):  # type: ignore[no-untyped-call]
    # What `HigherPass` is.
    supports_higher_order_operators = True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)


_LEDGERS: Final[dict[Kind, type[Ledger]]] = {
    CountingPass: Ledger,
    CompiledPass: _CompiledLedger,
    HigherPass: _HigherLedger,
}


def ledger_like(kind: Kind) -> type[Ledger]:
    """Return the ledger that runs what this pass of a profile runs."""
    return _LEDGERS[kind]


def climb(attempt: Callable[[Kind], _T]) -> _T:
    """Try a run with each kind of pass with which a profile tries it, until one does not fail for that reason.

    Raises:
        Exception: what the run raised, where no other kind of pass would help.
    """
    kind: Kind = CountingPass
    while True:
        try:
            return attempt(kind)
        except EffError:
            raise
        except Exception as error:
            another = pass_after(kind, error)
            if another is None:
                raise
            kind = another


def _macs(rule: Rule, given: tuple[Any, Any, Any]) -> int | None:
    try:
        return rule.macs(*given)
    except RuntimeError:  # a nested tensor has no plain shape
        return None


def _again(op: str, args: Sequence[Any]) -> int:
    if op.startswith("_scaled_dot_product") and op.endswith("_backward"):
        query, key = args[1], args[2]  # the scores Q K^T, computed again
        return int(prod(query.shape) * key.shape[-2])
    if op == "mkldnn_rnn_layer_backward":
        # Gradients that nobody asked for: of the input, and of the first state (the layer's weights are 1 and 2).
        image, weight_input, weight_hidden, state = args[0], args[1], args[2], args[5]
        steps, batch = image.shape[:2]
        unasked = 0 if image.requires_grad else int(steps * batch * weight_input.numel())
        return unasked + (0 if state.requires_grad else int(batch * weight_hidden.numel()))
    return 0


def _storages(tensors: Any) -> list[int]:
    found = []
    for tensor in tensors:
        try:
            found.append(int(tensor.untyped_storage()._cdata))
        except (NotImplementedError, RuntimeError):  # sparse or nested: no storage of its own
            found.append(id(tensor))
    return found


def ledger_of(model: nn.Module, call: Call, *, train: bool, backward: bool) -> list[Work]:
    """Return a line for each operation of one call as `profile` runs it; the model is left alone.

    Args:
        model: any model that `profile` can profile.
        call: what it is called with.
        train: in training mode, otherwise in eval mode.
        backward: also a backward from every output.

    Raises:
        ModelError: the forward raised, on the shadow and on a copy with real numbers; the message names the layer.
    """
    with _disable_current_modes():
        shadow = make_shadow(model)
        faked = shadow.fake(call)
        try:
            with shadow.mode:
                return _run(shadow.model, faked, Values(shadow.mode), (train, backward))
        except EffError as error:  # the forward asks for values, as `profile` found before
            if isinstance(error, Cancelled) or error.__cause__ is None or is_empty(model, call):
                raise
        with real_stand_in(model, call) as (copy, given):
            return _run(copy, given, None, (train, backward))


def _run(model: nn.Module, call: Call, values: Values | None, how: tuple[bool, bool]) -> list[Work]:
    train, backward = how
    model.train(train)
    recorder = Recorder(model)
    try:
        with quiet(), torch.inference_mode(mode=False):
            forward, outputs, second = climb(
                lambda kind: _both(model, call, (recorder, kind, values), backward=backward)
            )
    except EffError:
        raise
    except Exception as error:  # the model's own forward
        raise model_error(recorder, call, error) from error
    forward.settle(outputs)
    return [*forward.works, *(work for work in second if work.backward)]


def _both(
    model: nn.Module, call: Call, seen: tuple[Recorder, Kind, Values | None], *, backward: bool
) -> tuple[Ledger, Any, list[Work]]:
    """Return the forward's ledger, its outputs, and the lines of a run with gradients."""
    recorder, kind, values = seen
    forward = ledger_like(kind)(lambda: recorder.stack[-1].name, values, traced=values is not None)
    with python_random_kept(), torch.no_grad(), recorder.watching(), forward:
        outputs = run(model, call)
    if not backward:
        return forward, outputs, []
    second = ledger_like(kind)(lambda: recorder.stack[-1].name, values)
    with python_random_kept(), torch.enable_grad(), recorder.watching(), second:
        try:
            back(second, run(model, call))
        except EffError:
            raise
        except Exception as error:
            if pass_after(kind, error) is not None:
                raise
            return forward, outputs, []  # a backward that does not exist; the profile's notes say so
    return forward, outputs, second.works


def back(ledger: Ledger, outputs: Any) -> None:
    """Run the backward of the sum of every tensor in ``outputs`` that has one.

    Of a sum, as of a loss: hooks on the outputs themselves are only called where something stands behind them.
    """
    ends = [tensor for tensor in tensors_in(outputs) if tensor.requires_grad]
    sums = [(tensor.abs() if tensor.is_complex() else tensor).sum() for tensor in ends]
    ledger.backward = True
    if sums:
        torch.autograd.backward(sums)
