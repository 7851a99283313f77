"""The tensors of a model in a safetensors file and back; tensors that are one are written once."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from effwidgets.errors import RecipeError
from effwidgets.transforms.recipes.packed_state import dense_state, repack
from effwidgets.units import shape_text

__all__ = ["fill_tensors", "read_tensors", "tensors_of", "write_tensors"]

_TIED = "tied"


def write_tensors(model: nn.Module, path: Path) -> None:
    """Write parameters and persistent buffers.

    Raises:
        RecipeError: the state of a module holds something else than dense tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors, tied = _gathered(model)
    try:
        save_file(tensors, path, metadata={_TIED: json.dumps(tied)})
    except SafetensorError as error:  # a full disk, for one
        raise RecipeError(f"{path.name} could not be written: {error}. Nothing was replaced.") from error


def tensors_of(model: nn.Module) -> bytes:
    """Return what `write_tensors` writes.

    Raises:
        RecipeError: the state of a module holds something else than dense tensors.

    >>> fill_tensors(nn.Linear(2, 1), tensors_of(nn.Linear(2, 1)))
    """
    from safetensors.torch import save

    tensors, tied = _gathered(model)
    return save(tensors, metadata={_TIED: json.dumps(tied)})


def _gathered(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    once: dict[tuple[object, ...], str] = {}
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    for name, value in dense_state(model).items():
        if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_quantized or value.is_meta:
            kind = type(value).__name__ if not isinstance(value, Tensor) else "tensor that is not dense and real"
            raise RecipeError(f"{name} is a {kind}; a recipe keeps dense tensors only. Nothing was written.")
        key = (value.data_ptr(), value.dtype, value.shape, value.stride())
        first = once.setdefault(key, name) if value.numel() else name
        if first != name:
            tied[name] = first
        else:
            tensors[name] = value.detach().cpu().contiguous().clone()  # clone: views of one storage are written apart
    return tensors, tied


def read_tensors(model: nn.Module, path: Path) -> None:
    """Fill the parameters and persistent buffers of ``model``, in place; dtypes become those of the file.

    Raises:
        RecipeError: the file is missing or damaged, or its names or shapes are not those of the model.
    """
    _fill(model, _read(path), path.name)


def fill_tensors(model: nn.Module, data: bytes) -> None:
    """Fill ``model``, in place, with what `tensors_of` returned; see `read_tensors`.

    Raises:
        RecipeError: damaged, or its names or shapes are not those of the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        size = int.from_bytes(data[:8], "little")
        tied = json.loads(json.loads(data[8 : 8 + size]).get("__metadata__", {}).get(_TIED, "{}"))
        whole = {**tensors, **{name: tensors[first] for name, first in tied.items()}}
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise RecipeError(f"The trained state cannot be read: {error}. It is damaged.") from error
    _fill(model, whole, "The trained state")


def _fill(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    held = {name: value for name, value in dense_state(model).items() if isinstance(value, Tensor)}
    odd = sorted(set(held) ^ set(tensors))
    if odd:
        side = "the model has no such tensor" if odd[0] in tensors else "the file does not hold it"
        raise RecipeError(f"{where} does not fit the rebuilt model: {odd[0]}: {side}.")
    with torch.no_grad():
        for name, target in held.items():
            source = tensors[name]
            if target.shape != source.shape:
                shapes = (
                    f"{shape_text(tuple(source.shape))} in the file, {shape_text(tuple(target.shape))} in the model"
                )
                raise RecipeError(f"{where} does not fit the rebuilt model: {name} is {shapes}.")
            if target.is_meta:
                raise RecipeError(f"build() made {name} on the meta device; make the model on a real one.")
            if target.dtype == source.dtype:
                target.copy_(source)
            else:
                target.data = source.to(target.device)
    repack(model, tensors)


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RecipeError(f"{path} is missing; the recipe is not whole. Save the model again.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
            tied = json.loads((file.metadata() or {}).get(_TIED, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}. It is damaged; save the model again.") from error
    if not isinstance(tied, dict) or not all(isinstance(first, str) and first in tensors for first in tied.values()):
        raise RecipeError(f"{path} cannot be read: it ties names to tensors that it does not hold. It is damaged.")
    return {**tensors, **{name: tensors[first] for name, first in tied.items()}}
