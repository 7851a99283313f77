"""A model too large for memory: built on meta, where tensors have shapes and no numbers.

A builder that only makes weights never notices. Some read what they have just made, though:
``[p.item() for p in torch.linspace(0, 0.1, depth)]``. So the small tensors that are made without dice carry a real copy
beside, and reading is done on that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from effwidgets.errors import InputError, ModelError
from effwidgets.profiling.calls import map_tensors, tensors_in

__all__ = ["on_meta"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_Model = TypeVar("_Model", bound=nn.Module)
_NAME: Final = "_effdl_value"
_LARGEST: Final = 65_536  # elements: what a builder reads is a schedule or an index, never a weight
_READS: Final = _words("item tolist numpy __bool__ __int__ __float__ __index__ __complex__ __array__")
_WRITES: Final = _words(
    "__setitem__ __iadd__ __isub__ __imul__ __itruediv__ __ifloordiv__ __ior__ __iand__ __ixor__ __ipow__ __imod__ "
    "__ilshift__ __irshift__ __imatmul__"
)
_DICE: Final = _words(
    "rand randn randint randperm rand_like randn_like randint_like normal bernoulli multinomial poisson binomial "
    "normal_ uniform_ random_ exponential_ bernoulli_ cauchy_ geometric_ log_normal_ multinomial_"
)
# Nobody has written numbers into these yet.
_BLANK: Final = _words("empty empty_like empty_strided empty_permuted new_empty new_empty_strided")


def on_meta(build: Callable[[], _Model], *, dtype: torch.dtype | None = None) -> _Model:
    """Build a model on meta: every size is there, nothing is allocated, no dice are thrown.

    Profile it with ordinary inputs; small whole numbers and masks in them keep their values. Other threads notice
    nothing, and torch's default dtype stays as it is.

    Args:
        build: makes the model; a function without arguments.
        dtype: of the floating-point tensors that the builder makes without naming one; torch's default when None.

    Returns:
        the model, on meta.

    Raises:
        InputError: ``build`` is not a function that returns a module, or ``dtype`` is not a floating-point one.
        ModelError: the builder raised.

    >>> from effwidgets.profiling import profile
    >>> model = on_meta(lambda: nn.Linear(100_000, 1_000_000), dtype=torch.bfloat16)
    >>> profile(model, torch.zeros(1, 100_000, dtype=torch.bfloat16)).cost.param_bytes
    200002000000
    """
    if isinstance(build, nn.Module) or not callable(build):
        raise InputError(
            f"build is {type(build).__name__}; a function that makes the model was expected, so that it can be made "
            "without memory: on_meta(lambda: Model(config))."
        )
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InputError(f"dtype is {dtype!r}; a floating-point dtype such as torch.bfloat16 was expected, or None.")
    building = _Building(dtype)
    try:
        with torch.device("meta"), building:
            model = build()
    except Exception as error:  # the caller's builder
        text = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"The model could not be built on meta: {type(error).__name__}: {text[:300]}. Where the builder reads the "
            'numbers of a tensor, make that tensor with device="cpu".'
        ) from error
    if not isinstance(model, nn.Module):
        raise InputError(f"build returned {type(model).__name__}; a torch.nn.Module was expected.")
    _settle(model, building)
    return model


class _Building(TorchFunctionMode):
    """Gives tensors the wanted dtype, and small ones a real copy; on its own thread alone."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        from torch.utils._device import _device_constructors

        self._dtype = dtype
        self._makers = _device_constructors()
        self._spoiled: set[int] = set()
        self._kept: list[torch.Tensor] = []  # keeps storages, so that no address is used twice

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _READS and args:
            value = self.value(args[0])
            return func(*args, **kwargs) if value is None else func(value, *args[1:], **kwargs)
        out = func(*args, **kwargs)
        if name == "__iter__":
            out = list(out)
        made = list(tensors_in(out)) if isinstance(out, torch.Tensor | list | tuple) else []
        if made or name in _WRITES:
            given = [*tensors_in(args), *tensors_in(kwargs)]
            out = self._follow(func, name, (args, kwargs), given, out)
        return iter(out) if name == "__iter__" else out

    def _follow(self, func: Any, name: str, call: tuple[Any, Any], given: list[torch.Tensor], out: Any) -> Any:
        writes = name in _WRITES or (name.endswith("_") and not name.endswith("__"))
        made = [] if name in _WRITES else list(tensors_in(out))
        untold = "dtype" not in call[1] or call[1]["dtype"] is None
        cast = self._dtype is not None and func in self._makers and untold and not _holds_array(call[0])
        if cast:
            out = self._cast(out)
            made = list(tensors_in(out))
        small = all(tensor.numel() <= _LARGEST for tensor in made)
        dark = name in _DICE or name in _BLANK or str(getattr(func, "__module__", "")).startswith("torch.nn.")
        known = small and not dark and (given or func in self._makers)
        if not known or any(self.value(tensor) is None for tensor in given):
            if writes and given:
                self._spoil(given[0])
            return out
        real = self._again(func, *call)
        real = self._cast(real) if cast else real
        for tensor, value in zip(made, tensors_in(real), strict=False):
            if tensor.is_meta:
                setattr(tensor, _NAME, value)
        return out

    def _again(self, func: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = map_tensors(args, self.value), map_tensors(dict(kwargs), self.value)
        if func in self._makers or kwargs.get("device") is not None:
            kwargs["device"] = "cpu"
        found = func(*args, **kwargs)
        return list(found) if getattr(func, "__name__", "") == "__iter__" else found

    def _cast(self, out: Any) -> Any:
        default = torch.get_default_dtype()
        return map_tensors(out, lambda tensor: tensor.to(self._dtype) if tensor.dtype is default else tensor)

    def value(self, tensor: Any) -> Any:
        """Return the real numbers of a tensor, or None where they are not known."""
        if not isinstance(tensor, torch.Tensor) or not tensor.is_meta:
            return tensor
        value = getattr(tensor, _NAME, None)
        return None if value is None or tensor.untyped_storage()._cdata in self._spoiled else value

    def _spoil(self, tensor: torch.Tensor) -> None:
        if tensor.is_meta:
            self._kept.append(tensor)
            self._spoiled.add(tensor.untyped_storage()._cdata)


def _holds_array(args: Any) -> bool:
    # torch.tensor(array) takes the array's dtype.
    return any(isinstance(value, torch.Tensor) or hasattr(value, "__array__") for value in args)


def _settle(model: nn.Module, building: _Building) -> None:
    """Bring what a builder made elsewhere to meta, and keep the values of small whole numbers and masks beside."""
    settled: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in settled:
                    settled[id(tensor)] = _settled(tensor, building)
                store[name] = settled[id(tensor)]  # type: ignore[assignment]


def _settled(tensor: torch.Tensor, building: _Building) -> torch.Tensor:
    value = building.value(tensor)
    if hasattr(tensor, _NAME):
        delattr(tensor, _NAME)
    moved = tensor
    if not tensor.is_meta:
        moved = tensor.detach().to("meta")
        if isinstance(tensor, nn.Parameter):
            moved = nn.Parameter(moved, requires_grad=tensor.requires_grad)
    whole = value is not None and not value.is_floating_point() and not value.is_complex()
    if whole and value.numel() <= _LARGEST:
        setattr(moved, _NAME, value.detach().clone())
    return moved
