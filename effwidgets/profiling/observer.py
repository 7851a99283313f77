"""A dispatch mode that sees every operation of one run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from effwidgets.profiling.answers import Answer, Answers, Question
from effwidgets.profiling.direct import directly, runs_directly
from effwidgets.profiling.interrupts import Interrupt
from effwidgets.profiling.kinds import Rule, rule_of
from effwidgets.profiling.standins import BY_VALUES, STAND_INS
from effwidgets.profiling.values import Values

__all__ = ["Observer"]


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
        self.refused: Exception | None = None  # what a shadow could not answer, though the forward went on

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
        if Interrupt.pending:
            Interrupt.check()
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
            self._values.forget(func, args, kwargs)  # type: ignore[union-attr]
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
        elif question is not None and runs_directly(func) and not self._values.known(inputs):
            if rule.one_dtype:
                rule.check_dtypes(inputs)
            out, noted = directly(self.answers.fakes, func, args, kwargs), True  # type: ignore[union-attr]
        else:
            out, noted, alike = self._on_shadow(self._values, rule, (func, args, kwargs), inputs)
            question = question if alike else None
        if noted:
            outputs: list[torch.Tensor] = []
            _collect((out,), outputs)
            if question is not None:
                self.answers.remember(question, rule, (args, kwargs, out), inputs, outputs)  # type: ignore[union-attr]
            self.observe(rule, (args, kwargs, out), inputs, outputs)
        return out

    def _on_shadow(
        self, values: Values, rule: Rule, asked: tuple[Any, Any, Any], inputs: list[Any]
    ) -> tuple[Any, bool, bool]:
        """Run an operation on fake tensors.

        Returns:
            what it returned; whether that is work to be noted; whether another call of the same make returns the like.
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
            try:
                out = func(*args, **kwargs)
            except Exception as error:
                self.refused = error if rule.asks else self.refused
                raise
        elif func in BY_VALUES:
            alike = False
        if known:
            values.follow(func, args, kwargs, out)
        elif rule.mutates:
            values.forget(func, args, kwargs)
        return out, True, alike


def _collect(values: Iterable[object], found: list[torch.Tensor]) -> None:
    # Arguments of operations nest in lists only; this runs for every operation.
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            _collect(value, found)
