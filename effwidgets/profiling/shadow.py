"""Copies of a model that cost no memory: a shadow of fake tensors, and a tree that shares its tensors.

A fake tensor (`torch._subclasses.FakeTensor`) has shape, dtype and device and no numbers, so a shadow runs the model's
own forward in milliseconds and allocates nothing, whatever the size of the model.
"""

from __future__ import annotations

import copy
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, map_tensors
from effwidgets.profiling.fakes import Fakes
from effwidgets.profiling.values import keep_value

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode

__all__ = ["Shadow", "copy_call", "copy_tree", "make_shadow", "share"]

_COMPILED: Final = frozenset({"_compiled_call_impl", "dynamo_ctx", "get_compiler_config", "_torchdynamo_orig_callable"})
_STORES: Final = frozenset({dict, OrderedDict, set})
_ATOMS: Final = frozenset({type(None), bool, int, float, str})
Memo: TypeAlias = dict[int, Any]
Change: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


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


class _StuckError(Exception):
    """An attribute that cannot be copied."""

    def __init__(self, module: nn.Module, attribute: str) -> None:
        super().__init__(attribute)
        self.module = module
        self.attribute = attribute


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


def copy_tree(model: nn.Module, change: Change) -> nn.Module:
    """Copy a module with everything in it, each tensor replaced by ``change`` of it, once for each tensor."""
    memo: Memo = {}
    for tensor in _held(model):
        if id(tensor) not in memo:
            memo[id(tensor)] = change(tensor)
    try:
        with _CopyMode(change):
            twin: nn.Module = _copy_module(model, memo)
    except _StuckError as stuck:
        path = next((name for name, module in model.named_modules() if module is stuck.module), "")
        where = f"layer {path!r}" if path else "the model itself"
        reason = str(stuck.__cause__).partition("\n")[0][:200]
        raise InputError(
            f"The {type(model).__name__} cannot be copied, so it cannot be looked at without touching it: the "
            f"attribute {stuck.attribute!r} of {where} stands in the way ({reason}). "
            "Take what cannot be copied (a file, a lock, a process) out of the module."
        ) from stuck.__cause__
    except Exception as error:  # anybody's __deepcopy__ may have run
        raise InputError(
            f"The {type(model).__name__} cannot be copied, so it cannot be looked at without touching it: {error}. "
            "Take the attribute that cannot be copied (a file, a lock, a process) out of the module."
        ) from error
    return twin


def copy_call(call: Call, change: Change) -> Call:
    """Copy what a model is called with, each tensor replaced by ``change`` of it.

    Tensors inside objects too, such as a cache of keys and values, which a forward writes into; an object that cannot
    be copied is handed on as it is.
    """
    memo: Memo = {}
    with _CopyMode(change):
        args = tuple(_copy_given(value, change, memo) for value in call.args)
        return Call(args, {name: _copy_given(value, change, memo) for name, value in call.kwargs.items()})


def _copy_given(value: Any, change: Change, memo: Memo) -> Any:
    if type(value) in _ATOMS:
        return value
    if isinstance(value, torch.Tensor):
        if id(value) not in memo:
            memo[id(value)] = change(value)
        return memo[id(value)]
    if type(value) in (list, tuple):
        return type(value)(_copy_given(item, change, memo) for item in value)
    if type(value) is dict:
        return {name: _copy_given(item, change, memo) for name, item in value.items()}
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001  anybody's __deepcopy__ may have run
        return map_tensors(value, change)


def _held(model: nn.Module) -> Iterator[torch.Tensor]:
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for tensor in store.values():
                if tensor is not None:
                    yield tensor


class _CopyMode(TorchFunctionMode):
    """Lets `copy.deepcopy` replace the tensors that stand elsewhere: plain attributes, lists, dictionaries."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.__deepcopy__, nn.Parameter.__deepcopy__):
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = self._change(tensor)
            return memo[id(tensor)]
        return func(*args, **(kwargs or {}))


def _copy_module(module: nn.Module, memo: Memo) -> Any:  # noqa: C901  flat, and run for every module
    """Copy one module; much quicker than `copy.deepcopy` for modules that do not ask for more."""
    if id(module) in memo:
        return memo[id(module)]
    cls = type(module)
    # torch.compile's wrapper would compile its copy. Known by its class: a copy of it has no compiler any more.
    compiled = cls.__module__.startswith("torch._dynamo.") and "_orig_mod" in module._modules
    own = compiled or cls.__module__.startswith("torch.nn.modules.")
    graph = cls.__mro__[1] is fx.GraphModule
    hooked = any(hasattr(cls, name) for name in ("__deepcopy__", "__copy__"))
    if not graph and (
        hooked
        or (not own and (cls.__setstate__ is not nn.Module.__setstate__ or cls.__reduce__ is not object.__reduce__))
    ):
        return copy.deepcopy(module, memo)
    # A graph has a class of its own, whose forward was written from it: both are shared, as code is.
    twin: nn.Module = object.__new__(cls) if graph else cls.__new__(cls)
    memo[id(module)] = twin
    memo.setdefault(id(memo), []).append(module)
    state = twin.__dict__
    for name, value in module.__dict__.items():
        kind = type(value)
        if kind in _ATOMS:
            state[name] = value
            continue
        if kind in _STORES and not value:  # hooks, as a rule
            state[name] = kind()
            continue
        if name in _COMPILED or (name == "forward" and compiled):
            continue
        if graph and name == "_graph":
            state[name] = value
            continue
        try:
            state[name] = _copy_value(name, value, memo)
        except _StuckError:
            raise
        except Exception as error:  # anybody's __deepcopy__ may have run
            raise _StuckError(module, name) from error
    # A compiled call belongs to the original; the copy runs as it is written.
    state["_compiled_call_impl"] = None
    if compiled:
        state["forward"] = state["_modules"]["_orig_mod"].__call__
    if isinstance(twin, nn.RNNBase):
        twin._init_flat_weights()
    return twin


def _copy_held(tensor: torch.Tensor, memo: Memo) -> Any:
    # One that is not there belongs to a module outside of the tree, which a closure of the model's holds.
    known = memo.get(id(tensor))
    return copy.deepcopy(tensor, memo) if known is None else known


def _rebound(function: types.FunctionType, memo: Memo) -> types.FunctionType:
    """Return a function whose closure holds the copies of the modules that it held: `lambda x: self.layer(x)`."""
    cells = tuple(types.CellType(_rebound_value(cell.cell_contents, memo)) for cell in function.__closure__ or ())
    twin = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__dict__.update(function.__dict__)
    return twin


def _rebound_value(value: Any, memo: Memo) -> Any:
    if isinstance(value, nn.Module):
        return _copy_module(value, memo)
    if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
        return types.MethodType(value.__func__, _copy_module(value.__self__, memo))
    if isinstance(value, types.FunctionType) and value.__closure__:
        return _rebound(value, memo)
    if isinstance(value, torch.Tensor):
        return copy.deepcopy(value, memo)
    return value


def _copy_value(name: str, value: Any, memo: Memo) -> Any:  # noqa: PLR0911  one return for each kind of value
    if type(value) is tuple and all(type(item) in _ATOMS for item in value):
        return value
    if name in ("_parameters", "_buffers"):
        return {key: None if item is None else _copy_held(item, memo) for key, item in value.items()}
    if name == "_modules":
        return {key: None if item is None else _copy_module(item, memo) for key, item in value.items()}
    if name == "_flat_weight_refs":
        return type(value)()
    if isinstance(value, types.FunctionType) and value.__closure__:
        return _rebound(value, memo)
    if isinstance(value, torch.Generator):
        return memo.setdefault(id(value), value.clone_state())  # its state is a tensor that must not become fake
    return copy.deepcopy(value, memo)
