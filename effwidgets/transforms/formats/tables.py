"""What a layer of a profile is after its numbers were written in another way; and Embeddings that cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import LayerProfile, Shape, Step, TensorInfo
from effwidgets.transforms.dtypes import bytes_each

__all__ = ["is_shadow", "reformatted", "refuse_embedding", "tensor_info", "weight_info"]


def weight_info(layer: LayerProfile) -> TensorInfo:
    """Return the weight of a layer.

    Raises:
        TransformError: it has none.
    """
    weight = layer.tensor("weight")
    if weight is None:
        raise TransformError(f"{layer.name or 'the model itself'} has no plain weight.")
    return weight


def tensor_info(name: str, shape: Shape, dtype: str, *, trainable: bool = False, parameter: bool = True) -> TensorInfo:
    """Return the record of one tensor."""
    kind = "parameter" if parameter else "buffer"
    return TensorInfo(name=name, shape=shape, dtype=dtype, kind=kind, trainable=trainable)  # type: ignore[arg-type]


def reformatted(layer: LayerProfile, kind: str, tensors: Sequence[TensorInfo]) -> LayerProfile:
    """Return the layer with these tensors; the rest of its own cost stays as it was."""
    own = dataclasses.replace(
        layer.self_cost,
        params=sum(prod(tensor.shape) for tensor in tensors if tensor.kind == "parameter"),
        param_bytes=sum(prod(tensor.shape) * bytes_each(tensor.dtype) for tensor in tensors),
    )
    return dataclasses.replace(layer, kind=kind, config=(), tensors=tuple(tensors), self_cost=own)


def refuse_embedding(module: nn.Module, step: Step) -> None:
    """Raise a `TransformError` for an Embedding that writes into its own table."""
    if getattr(module, "max_norm", None) is not None:
        raise TransformError(f"{step}: the Embedding has max_norm and writes into its weight in each forward.")


def is_shadow(tensor: Tensor) -> bool:
    """Say whether a tensor has a shape and no numbers."""
    return tensor.is_meta or hasattr(tensor, "fake_mode")
