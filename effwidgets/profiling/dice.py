"""Random numbers for a forward beside somebody else's work: from generators of its own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from effwidgets.profiling.calls import tensors_in

if TYPE_CHECKING:
    from torch._ops import OpOverload

__all__ = ["Dice"]

_SEED: Final = 0


class Dice(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__ has no types
    """Lets random operations of this thread draw from fresh generators, so that each run draws the same numbers.

    For worker threads: torch's own generators belong to the whole process, and whoever saves one and puts it back
    disturbs a training loop on another thread. Operations that take no generator (dropout in training mode) draw from
    torch's own as ever.

    Args:
        seed: of the generators, one for each device.
    """

    def __init__(self, seed: int = _SEED) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            taking = _with_generator(func)
            if taking is not None:
                return taking(*args, **{**kwargs, "generator": self._generator(args, kwargs)})
        return func(*args, **kwargs)

    def _generator(self, args: Any, kwargs: Any) -> torch.Generator:
        tensor = next(tensors_in(args), None)
        named = kwargs.get("device")
        device = torch.device(named or "cpu") if tensor is None else tensor.device
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


@functools.cache
def _with_generator(func: OpOverload) -> OpOverload | None:
    """Return ``func``, or its overload that takes a generator as well; None where there is none."""
    names = [argument.name for argument in func._schema.arguments]
    if "generator" in names:
        return func
    packet = func.overloadpacket
    for overload in packet.overloads():
        other: OpOverload = getattr(packet, overload)
        if [argument.name for argument in other._schema.arguments if argument.name != "generator"] == names:
            same = all(_type_of(other, name) == _type_of(func, name) for name in names)
            if same and len(other._schema.arguments) > len(names):
                return other
    return None


def _type_of(func: OpOverload, name: str) -> str:
    return next(str(argument.type) for argument in func._schema.arguments if argument.name == name)
