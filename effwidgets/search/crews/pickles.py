"""Objects as bytes for another process: models with all that they may hold, and functions defined in a notebook.

Plain pickle refuses three things that people have. Classes and functions of ``__main__``: cloudpickle sends them whole.
Parametrized modules, whose class is made up while they are built: they travel as the class below it and what they
hold, and get their properties back on arrival. Tensors that share memory (tied weights, views): `torch.save` keeps
that, and sends of many views on one storage one copy.
"""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace
from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]
import torch
from torch import nn
from torch.nn.utils import parametrize

__all__ = ["from_bytes", "to_bytes"]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, nn.Module) and parametrize.is_parametrized(obj):
            below = type(obj).__mro__[1]
            state = below.__getstate__(obj)  # type: ignore[call-arg]  # of the class: the module's own refuses
            return _blank, (below,), state, None, None, _fill
        return super().reducer_override(obj)


_MODULE: Final = SimpleNamespace(Pickler=_Pickler, __name__="cloudpickle")  # what `torch.save` takes for a module


def _blank(kind: type[nn.Module]) -> nn.Module:
    return kind.__new__(kind)


def _fill(module: nn.Module, state: dict[str, Any]) -> None:
    module.__setstate__(state)  # type: ignore[no-untyped-call]
    # torch has no public way to do this with parametrizations that are there already; these two are in it since 1.9.
    parametrize._inject_new_class(module)  # noqa: SLF001
    for name in module.get_submodule("parametrizations")._modules:  # noqa: SLF001
        parametrize._inject_property(module, name)  # noqa: SLF001


def to_bytes(thing: object) -> bytes:
    """Write ``thing``; what it raises where something cannot be sent (a lock, an open file) is pickle's own."""
    buffer = io.BytesIO()
    torch.save(thing, buffer, pickle_module=_MODULE)
    return buffer.getvalue()


def from_bytes(written: bytes) -> Any:
    """Read what `to_bytes` wrote. Like all of pickle it runs code: read nothing that a stranger sent."""
    # A machine without a GPU gets the tensors of one in its memory.
    where = None if torch.cuda.is_available() else "cpu"
    return torch.load(io.BytesIO(written), map_location=where, pickle_module=pickle, weights_only=False)
