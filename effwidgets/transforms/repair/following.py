"""Where the outputs of a layer go: through a batch norm, into a residual sum. That is where models are compared."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from effwidgets.profiling.calls import tensors_in

__all__ = ["Follower", "Passing"]

_Held = TypeVar("_Held")
_SUMS = frozenset({torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor})


@dataclass(slots=True, kw_only=True, eq=False)
class Passing(Generic[_Held]):
    """One call of a layer.

    Attributes:
        key: which layer.
        module: the layer.
        held: what whoever watches holds of it.
        norm: the batch norm that its output went through.
        others: layers that write into the same sum.
        summed: whether its output was added to something else of the same shape.
    """

    key: str
    module: nn.Module
    held: _Held | None = None
    norm: str | None = None
    others: frozenset[str] = frozenset()
    summed: bool = False


@dataclass(slots=True, eq=False)
class _Open(Generic[_Held]):
    # A tensor that some passings stand behind, as long as nobody wrote into it.
    tensor: weakref.ref[Tensor]
    version: int
    passings: list[Passing[_Held]] = field(default_factory=list)


class Follower(TorchDispatchMode, Generic[_Held]):  # type: ignore[no-untyped-call]  # torch's has no types
    """Watches layers of a stand-in and what becomes of their outputs during forwards without gradients.

    Args:
        layers: the layers, by what they are called.
        enter: called with a call of a layer, its input and its output.
        arrive: called with the same call and the sum that its output went into. Neither may keep the tensors.

    Attributes:
        norms: how often each batch norm has run.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        enter: Callable[[Passing[_Held], Tensor, Tensor], None],
        arrive: Callable[[Passing[_Held], Tensor], None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._layers = layers
        self._enter = enter
        self._arrive = arrive
        self._open: dict[int, _Open[_Held]] = {}
        self.norms: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    @contextmanager
    def on(self, twin: nn.Module) -> Iterator[None]:
        """Watch ``twin``, a stand-in, as long as this lasts."""
        norms = {name: module for name, module in twin.named_modules() if isinstance(module, _BatchNorm)}
        handles = []
        try:
            for key, module in self._layers.items():
                handles.append(
                    module.register_forward_hook(
                        lambda module, args, kwargs, output, key=key: self._ran(key, module, (args, kwargs), output),
                        with_kwargs=True,
                        prepend=True,
                    )
                )
            for name, module in norms.items():
                if module.running_mean is not None:
                    handles.append(
                        module.register_forward_hook(
                            lambda _module, args, output, name=name: self._normed(name, args, output), prepend=True
                        )
                    )
            with self:
                yield
        finally:
            self._open.clear()
            for handle in handles:
                handle.remove()

    def _ran(self, key: str, module: nn.Module, given: object, output: object) -> None:
        value, made = next(tensors_in(given), None), next(tensors_in(output), None)
        if value is None or made is None or not made.numel() or not made.is_floating_point():
            return
        passing: Passing[_Held] = Passing(key=key, module=module)
        self._enter(passing, value, made)
        self._put(made, [passing])

    def _normed(self, name: str, args: tuple[object, ...], output: object) -> None:
        self.norms[name] += 1
        passings = [passing for passing in self._taken(args[0] if args else None) if passing.norm is None]
        for passing in passings:
            passing.norm = name
        if isinstance(output, Tensor):
            self._put(output, passings)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _SUMS or kwargs:
            return func(*args, **(kwargs or {}))
        one, other = args[:2]
        alike = isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape and one is not other
        passings = [*self._taken(one), *self._taken(other)] if alike else []
        result = func(*args)
        keys = frozenset(passing.key for passing in passings)
        for passing in passings:
            passing.summed, passing.others = True, keys - {passing.key}
            self._arrive(passing, result)
        return result

    def _put(self, tensor: Tensor, passings: list[Passing[_Held]]) -> None:
        if passings:
            self._open[id(tensor)] = _Open(weakref.ref(tensor), tensor._version, passings)  # noqa: SLF001

    def _taken(self, tensor: object) -> list[Passing[_Held]]:
        found = self._open.get(id(tensor))
        known = found.tensor() if found is not None else None
        if found is None or known is None or known is not tensor or found.version != known._version:  # noqa: SLF001
            return []
        del self._open[id(tensor)]
        return found.passings
