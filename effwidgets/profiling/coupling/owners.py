"""Whose a parameter is, and who else reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from effwidgets.profiling.memory import storage_of
from effwidgets.profiling.recorder import Recorder

__all__ = ["Owners"]


class Owners:
    """The parameters of a model by their storages, while it runs.

    Attributes:
        tied: layer -> another layer that holds the same parameter.
        lent: layer -> who reads its parameters from outside, as in ``F.linear(x, self.embedding.weight)``.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._owner: dict[int, tuple[str, str]] = {}
        self.tied: dict[str, str] = {}
        self.lent: dict[str, str] = {}
        for path, module in recorder.tree.modules.items():
            for name, parameter in module._parameters.items():
                self._own(path, name, parameter)

    def of(self, tensor: torch.Tensor) -> tuple[str, str] | None:
        """Return the layer and the name under which it holds the parameter that ``tensor`` is a view of, or None."""
        storage = storage_of(tensor)
        return None if storage is None else self._owner.get(storage._cdata)

    def _own(self, path: str, name: str, parameter: torch.Tensor | None) -> None:
        storage = None if parameter is None else storage_of(parameter)
        if storage is None:
            return
        first = self._owner.setdefault(storage._cdata, (path, name))
        if first[0] != path:
            self.tied[path] = first[0]
            self.tied[first[0]] = path

    def notice(self, inputs: Sequence[torch.Tensor]) -> None:
        """Note the parameters among ``inputs`` that another than their own layer reads."""
        running = self._recorder.stack[-1].name
        for tensor in inputs:
            owner = self.of(tensor)
            if owner is not None and owner[0] != running:
                self.lent.setdefault(owner[0], running or "the model itself")

    def layer(self, weight: Any, kinds: type | tuple[type, ...]) -> str | None:
        """Return the path of the layer of one of ``kinds`` that runs and whose weight this is; None when it is not."""
        tally = self._recorder.stack[-1]
        module = self._recorder.module_of(tally)
        storage = storage_of(weight) if isinstance(weight, torch.Tensor) else None
        if storage is None or not isinstance(module, kinds):
            return None
        own = module._parameters.get("weight")
        same = own is not None and (found := storage_of(own)) is not None and found._cdata == storage._cdata
        return tally.name if same else None

    def plain(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        """Yield the tensors of modules that are no layers of torch, nor made from one: path, name and tensor."""
        for path, module in self._recorder.tree.modules.items():
            if not any(_of_torch(kind) for kind in type(module).__mro__):
                for held in (module._parameters, module._buffers):
                    for name, tensor in held.items():
                        if tensor is not None and tensor.is_floating_point():
                            yield path, name, tensor

    def foreign(self, tensor: torch.Tensor) -> str:
        """Say what a tensor without channels is, for an obstacle."""
        tally = self._recorder.stack[-1]
        module = self._recorder.module_of(tally)
        if isinstance(module, nn.MultiheadAttention):
            return f"it goes into the attention heads of {tally.name!r}"
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            return f"it goes into the recurrent layer {tally.name!r}"
        owner = self.of(tensor)
        if owner is None:
            return "it meets a tensor whose channels no layer makes (an input, an attention product, a constant)"
        return f"it meets the parameter {'.'.join(filter(None, owner))!r}, which no known layer reads"

    def is_own_bias(self, tensor: torch.Tensor) -> bool:
        """Say whether a linear layer adds its bias in an operation of its own: its input is not contiguous then."""
        tally = self._recorder.stack[-1]
        return self.of(tensor) == (tally.name, "bias") and isinstance(self._recorder.module_of(tally), nn.Linear)


def _of_torch(kind: type) -> bool:
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return kind.__module__.startswith("torch.") and issubclass(kind, nn.Module) and kind not in (nn.Module, *containers)
