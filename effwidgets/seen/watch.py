"""What the models of a notebook were called with last, so that a panel can profile them without asking."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from effwidgets.profiling import Call

__all__ = ["Watch", "shapes_text"]

_MOST_BYTES = 64_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Outline:
    """A tensor too large to keep."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def fill(self) -> torch.Tensor:
        return torch.zeros(self.shape, dtype=self.dtype, device=self.device)


@dataclass(slots=True, eq=False)
class _Known:
    """A module that was called: whether it is one of the notebook's models, and its last call."""

    ref: weakref.ref[nn.Module]
    wanted: bool
    args: tuple[Any, ...] | None = None
    kwargs: Mapping[str, Any] | None = None
    held_bytes: int = 0


class _OpaqueError(Exception):
    """A call with something else than tensors and plain values, such as a cache, which must not be kept alive."""


class Watch:
    """Remembers the last successful call of each model that ``names`` yields; other modules cost one look-up.

    One hook for all modules, called after their forward: hooks before it are not told keyword arguments. It keeps
    models weakly and at most 64 MB of inputs; of larger ones it keeps shape and dtype. Calls that hold other objects
    than tensors and plain values are not remembered.

    Args:
        names: yields the objects of the notebook, models or not.
        most_bytes: how much may be kept alive.
    """

    def __init__(self, names: Callable[[], Iterable[object]], *, most_bytes: int = _MOST_BYTES) -> None:
        self._names = names
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        self._known: dict[int, _Known] = {}  # by id: a module class may define equality without a hash
        self._handle: Any = None

    def start(self) -> None:
        """Begin to watch; again is no harm."""
        with self._lock:
            if self._handle is None:
                self._handle = register_module_forward_hook(self._ran, with_kwargs=True)

    def stop(self) -> None:
        """Take the hook away and forget everything."""
        with self._lock:
            if self._handle is not None:
                self._handle.remove()
                # torch forgets one of its three tables, and would go on warning compiled models of global hooks.
                for table in ("_global_forward_hooks_with_kwargs", "_global_forward_hooks_always_called"):
                    getattr(torch.nn.modules.module, table, {}).pop(self._handle.id, None)
                self._handle = None
            self._known.clear()

    def expect(self, models: Iterable[nn.Module]) -> None:
        """Remember calls of these models from now on, also of those that were not in the notebook before."""
        for model in models:
            self._entry(model).wanted = True

    def call(self, model: nn.Module) -> Call | None:
        """Return the last call of ``model``; inputs that were too large to keep come back as zeros."""
        known = self._known.get(id(model))
        if known is None or known.ref() is not model or known.args is None:
            return None
        filled = _filled((known.args, dict(known.kwargs or {})))
        return Call(filled[0], filled[1])

    def shape(self, model: nn.Module) -> str | None:
        """Return the shapes of the last call, as `shapes_text` writes them; None when none was seen."""
        known = self._known.get(id(model))
        if known is None or known.ref() is not model or known.args is None:
            return None
        return shapes_text((known.args, known.kwargs or {})) or None

    def _ran(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _output: object) -> None:
        # Compilers and tracers would write down what happens here as if the model did it.
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return
        known = self._known.get(id(module))
        if known is None or known.ref() is not module:
            known = self._entry(module)
            known.wanted = any(value is module for value in self._names())
        if known.wanted:
            self._remember(known, args, kwargs)

    def _entry(self, module: nn.Module) -> _Known:
        known = self._known.get(id(module))
        if known is None or known.ref() is not module:
            key = id(module)
            known = _Known(weakref.ref(module, lambda _ref: self._known.pop(key, None)), wanted=False)
            self._known[key] = known
        return known

    def _remember(self, known: _Known, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        try:
            size = _bytes_of((args, kwargs))
            keep = size <= self._most_bytes
            kept = _kept((args, dict(kwargs)), whole=keep)
        except _OpaqueError:
            return
        except Exception:  # noqa: BLE001  tensor subclasses may refuse; a notebook's own forward must not fail by it
            _log.debug("A call was not remembered.", exc_info=True)
            return
        with self._lock:
            known.args, known.kwargs, known.held_bytes = kept[0], kept[1], size if keep else 0
            self._make_room(known)

    def _make_room(self, newest: _Known) -> None:
        others = [known for known in list(self._known.values()) if known is not newest and known.held_bytes]
        over = newest.held_bytes + sum(known.held_bytes for known in others) - self._most_bytes
        for known in others:
            if over <= 0:
                return
            known.args, known.kwargs = _kept((known.args, dict(known.kwargs or {})), whole=False)
            over -= known.held_bytes
            known.held_bytes = 0


def shapes_text(value: object) -> str:
    """Write the shapes of the tensors in a call as a person would type them.

    >>> shapes_text(Call((torch.zeros(1, 3, 8, 8), torch.zeros(2))))
    '1, 3, 8, 8; 2'
    """
    found: list[str] = []
    _visit(value, lambda tensor: found.append(", ".join(map(str, tensor.shape))))
    return "; ".join(found)


def _visit(value: object, see: Callable[[Any], object]) -> None:
    if isinstance(value, torch.Tensor | _Outline):
        see(value)
    elif isinstance(value, Call):
        _visit((value.args, value.kwargs), see)
    elif isinstance(value, Mapping):
        for item in value.values():
            _visit(item, see)
    elif isinstance(value, tuple | list):
        for item in value:
            _visit(item, see)


def _bytes_of(value: object) -> int:
    # Storages, not tensors: a slice of a data set keeps the whole of it alive.
    storages: dict[int, int] = {}

    def see(tensor: Any) -> None:
        if isinstance(tensor, torch.Tensor):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()

    _visit(value, see)
    return sum(storages.values())


def _kept(value: Any, *, whole: bool) -> Any:
    if isinstance(value, torch.Tensor):
        if type(value) not in (torch.Tensor, nn.Parameter):
            raise _OpaqueError
        if not whole:
            return _Outline(tuple(value.shape), value.dtype, value.device)
        return value.detach() if value.requires_grad else value
    if value is None or isinstance(value, bool | int | float | str | _Outline | torch.dtype | torch.device):
        return value
    if type(value) in (tuple, list):
        return type(value)(_kept(item, whole=whole) for item in value)
    if type(value) is dict:
        return {name: _kept(item, whole=whole) for name, item in value.items()}
    raise _OpaqueError


def _filled(value: Any) -> Any:
    if isinstance(value, _Outline):
        return value.fill()
    if type(value) in (tuple, list):
        return type(value)(_filled(item) for item in value)
    if type(value) is dict:
        return {name: _filled(item) for name, item in value.items()}
    return value
