"""The tensors of a trained model as bytes, and back."""

from __future__ import annotations

from torch import nn

from effwidgets.transforms.recipes.tensors import fill_tensors, tensors_of

__all__ = ["from_bytes", "to_bytes"]


def to_bytes(model: nn.Module) -> bytes:
    """Return the state of ``model`` as safetensors, without any pickle: what a recipe holds beside its JSON.

    Raises:
        RecipeError: the state of a module holds something else than dense tensors.

    >>> from_bytes(nn.Linear(2, 1), to_bytes(nn.Linear(2, 1)))
    """
    return tensors_of(model)


def from_bytes(model: nn.Module, tensors: bytes) -> None:
    """Put a state that `to_bytes` wrote into ``model``, in place.

    Raises:
        RecipeError: it is damaged, or of another model.
    """
    fill_tensors(model, tensors)
