"""Fake tensors, made quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode

__all__ = ["Fakes"]

Sizes: TypeAlias = tuple[int, ...]


class Fakes:
    """Makes the fake tensors of one mode.

    The constructor of `FakeTensor` takes ten times as long as what it does needs; so it is asked once for each device,
    and what it sets is set on the others too.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        from torch._subclasses.fake_tensor import FakeTensor

        self.mode = mode
        self.type = FakeTensor
        self._states: dict[torch.device, dict[str, Any]] = {}

    def fresh(
        self, shape: Sizes, stride: Sizes, dtype: torch.dtype, device: torch.device, *, trained: bool = False
    ) -> torch.Tensor:
        """Return a fake tensor with a storage of its own; to be called inside an operation, where nothing records."""
        with torch._C._DisableTorchDispatch():
            plain = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
            return self._fake(plain, device, trained=trained)

    def over(
        self, storage: torch.UntypedStorage, place: tuple[int, Sizes, Sizes], dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        """Return a fake tensor at ``place`` (offset, shape, strides) of a storage on meta."""
        with torch._C._DisableTorchDispatch():
            plain = torch.empty(0, dtype=dtype, device="meta")
            plain.set_(storage, *place)
            return self._fake(plain, device)

    def _fake(self, plain: torch.Tensor, device: torch.device, *, trained: bool = False) -> torch.Tensor:
        fake: torch.Tensor = torch.Tensor._make_subclass(
            self.type,
            plain,
            trained,
            dispatch_device=True,
            device_for_backend_keys=device,
        )
        torch._C._set_throw_on_mutable_data_ptr(fake)
        fake.__dict__.update(self._states.get(device) or self._state(device))
        return fake

    def _state(self, device: torch.device) -> dict[str, Any]:
        one = self.type(self.mode, torch.empty(0, device="meta"), device)
        state = self._states[device] = dict(one.__dict__)
        return state
