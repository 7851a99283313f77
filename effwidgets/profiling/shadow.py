"""Copies of a model that cost no memory: a shadow of fake tensors, and a tree that shares its tensors.

A fake tensor (`torch._subclasses.FakeTensor`) has shape, dtype and device and no numbers, so a shadow runs the model's
own forward in milliseconds and allocates nothing, whatever the size of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.fakes import Fakes
from effwidgets.profiling.twins import copy_call, copy_tree
from effwidgets.profiling.values import keep_value

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode

__all__ = ["Shadow", "copy_call", "copy_tree", "make_shadow", "share"]


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """A model of fake tensors.

    Attributes:
        model: same classes, same names, same ties, no numbers. It is private: edit it as you like.
        mode: the mode under which it runs; new fake tensors are made inside ``with shadow.mode:``.
    """

    model: nn.Module
    mode: FakeTensorMode

    def fake(self, call: Call) -> Call:
        """Return the call with fake tensors; small integer and boolean ones keep their values beside."""
        with torch.inference_mode(mode=False):
            return copy_call(call, Faker(self.mode))


class Faker:
    """Makes fake tensors of real ones; tensors that share a storage share it afterwards too."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self._fakes = Fakes(mode)
        self._storages: dict[int, torch.UntypedStorage] = {}

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a fake tensor like ``tensor``; one that is fake already is returned as it is."""
        if type(tensor) in _ORDINARY and tensor.layout is torch.strided:
            # Only complex tensors can be conjugated, only those and their parts negated by a mark.
            if not (tensor.is_quantized or tensor.is_nested or tensor.is_conj() or tensor.is_neg()):
                return self._plain(tensor)
        elif isinstance(tensor, self._fakes.type) and tensor.fake_mode is self._fakes.mode:
            return tensor
        return self._fakes.mode.from_tensor(tensor, static_shapes=True)

    def _plain(self, tensor: torch.Tensor) -> torch.Tensor:
        real = tensor.untyped_storage()
        storage = self._storages.get(real._cdata)
        # A model on meta stands for one on the CPU: its kernels, its memory.
        device = _CPU if tensor.is_meta else tensor.device
        if storage is None and tensor.is_contiguous() and real.nbytes() == tensor.nbytes:
            trained = tensor.requires_grad
            fake = self._fakes.fresh(tensor.shape, tensor.stride(), tensor.dtype, device, trained=trained)
            self._storages[real._cdata] = fake.untyped_storage()
        else:
            if storage is None:
                storage = self._storages[real._cdata] = torch.UntypedStorage(  # type: ignore[no-untyped-call]
                    real.nbytes(), device="meta"
                )
            place = (int(tensor.storage_offset()), tensor.shape, tensor.stride())
            fake = self._fakes.over(storage, place, tensor.dtype, device)
        if isinstance(tensor, nn.Parameter):
            fake._is_param = True
        if tensor.requires_grad and not fake.requires_grad:
            fake.requires_grad_()
        keep_value(fake, tensor)
        return fake


_ORDINARY: Final = frozenset({torch.Tensor, nn.Parameter, nn.Buffer})
_CPU: Final = torch.device("cpu")


def make_shadow(model: nn.Module) -> Shadow:
    """Return a shadow of ``model``, which is left as it is.

    Parameters and buffers become fake tensors of the same shape, dtype and device (meta becomes cpu); ties and
    ``requires_grad`` are kept; hooks are carried over and run on the shadow.

    Raises:
        InputError: something else than a module, one compiled by TorchScript, or one that holds an object that cannot
            be copied.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    check_module(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError(
            f"The model is {type(model).__name__}, compiled by TorchScript: its layers cannot be watched. "
            "Hand in the torch.nn.Module that it was made from."
        )
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    # `Answers` remembers; torch's own memory gives one tensor that is returned twice as two, and counts it twice.
    mode.cache_enabled = False
    # The caller may be inside inference_mode; tensors made there could not be trained.
    with torch.inference_mode(mode=False):
        return Shadow(copy_tree(model, Faker(mode)), mode)


def share(model: nn.Module) -> nn.Module:
    """Return a copy of the module tree that holds the very same parameters and buffers.

    Replacing a parameter, a module or a hook in the copy leaves the original alone; writing *into* a parameter does
    not.

    Raises:
        InputError: something else than a module, or one that holds an object that cannot be copied.
    """
    check_module(model)
    return copy_tree(model, lambda tensor: tensor)


def check_module(model: object) -> None:
    """Raise an `InputError` when ``model`` is not a module, or one whose layers have no sizes yet."""
    if not isinstance(model, nn.Module):
        hint = " You handed in the class: make an instance of it first." if isinstance(model, type) else ""
        raise InputError(f"The model is {type(model).__name__} {model!r:.60}; a torch.nn.Module was expected.{hint}")
    for path, module in model.named_modules():
        tensors = (*module._parameters.values(), *module._buffers.values())
        if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
            raise InputError(
                f"Layer {path!r} of the {type(model).__name__} is a {type(module).__name__} and has no sizes yet. "
                "Call the model once with real inputs, which gives it its sizes; then come again."
            )
