"""Copies of a module tree that cost no memory: each tensor replaced by what the caller says."""

from __future__ import annotations

import copy
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, map_tensors

__all__ = ["Change", "copy_call", "copy_tree"]

_COMPILED: Final = frozenset({"_compiled_call_impl", "dynamo_ctx", "get_compiler_config", "_torchdynamo_orig_callable"})
_STORES: Final = frozenset({dict, OrderedDict, set})
_ATOMS: Final = frozenset({type(None), bool, int, float, str})
Memo: TypeAlias = dict[int, Any]
Change: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class _StuckError(Exception):
    """An attribute that cannot be copied."""

    def __init__(self, module: nn.Module, attribute: str) -> None:
        super().__init__(attribute)
        self.module = module
        self.attribute = attribute


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
