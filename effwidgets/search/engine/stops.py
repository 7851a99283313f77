"""What stops the forward of a model from within: a hook on each of its modules, for as long as a function runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import nn

from effwidgets.errors import EffError
from effwidgets.profiling.timing.alone import give_way

__all__ = ["OutOfTimeError", "Stop"]


class OutOfTimeError(EffError):
    """A call of the user's function took longer than it was given."""


class Stop:
    """A forward pre-hook that raises once a stop was asked for or the time is over.

    It sits on every module, since a loop may call the model's children, its ``forward``, or a wrapper around it.
    Copies of the model share it; a pickled one is without. Outside of `on` it does nothing, so that a copy which
    outlives the function, or a compiled graph that remembers the hook, goes on.

    Args:
        check: raises when a stop was asked for.
        limit_s: how long the function may run; None for as long as it likes. Time for which it stood still for
            somebody's measurement is not counted.

    Attributes:
        raised: what was raised in forwards, in order.
    """

    def __init__(self, check: Callable[[], None], limit_s: float | None) -> None:
        self.raised: list[EffError] = []
        self._check = check
        self._limit_s = limit_s
        self._until: float | None = None
        self._on = False

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Stand in each forward of ``model`` and of what is in it."""
        inner = _Inner(self)
        handles = [module.register_forward_pre_hook(self if module is model else inner) for module in model.modules()]
        self._until = None if self._limit_s is None else time.monotonic() + self._limit_s
        self._on = True
        try:
            yield
        finally:
            self._on = False
            for handle in handles:
                handle.remove()

    def __call__(self, module: nn.Module, args: object) -> None:
        """Raise, or let the forward go on."""
        del module, args
        if self._on:
            _stand(self)

    def stand(self) -> None:
        """Give way to a measurement, then raise what is to be raised.

        Raises:
            Cancelled: a stop was asked for.
            OutOfTimeError: the time is over.
        """
        began = time.monotonic()
        give_way()
        now = time.monotonic()
        try:
            self._check()
            if self._until is not None:
                self._until += now - began
                if now > self._until:
                    raise OutOfTimeError(f"It took longer than the time limit of {self._limit_s:g} s.")
        except EffError as error:
            self.raised.append(error)
            raise

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return _let_go_on, ()


class _Inner:
    # On the modules within. A compiled model is left for the hook on the whole alone: at each of them would be a break
    # in its graph.
    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def __call__(self, module: nn.Module, args: object) -> None:
        if not torch.compiler.is_compiling():
            self._stop(module, args)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return _let_go_on, ()


def _stand(stop: Stop) -> None:
    stop.stand()


# torch.compile leaves its graph for this call instead of tracing into it: what `torch.compiler.disable` sets, without
# the second that importing the compiler takes.
_stand._torchdynamo_disable = True  # type: ignore[attr-defined]  # noqa: SLF001


def _nothing(module: nn.Module, args: object) -> None:
    del module, args


def _let_go_on() -> Callable[[nn.Module, object], None]:
    return _nothing
