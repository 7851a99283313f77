"""The part of a layer's record that needs no run: names, configuration, tensors; and the sums over the tree."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

import torch
from torch import nn

from effwidgets.profiling.memory import storage_of
from effwidgets.profiling.packed import packed_tensors
from effwidgets.profiling.recorder import Tally
from effwidgets.profiling.tree import Tree
from effwidgets.records import Cost, LayerProfile, Settings, TensorInfo, settings

__all__ = ["Held", "config_of", "held_of", "layers_of"]

_NORM = ("eps", "momentum", "affine", "track_running_stats")
_POOL = ("kernel_size", "stride", "padding")

# Class -> the attributes that are its configuration; the first class that fits is taken.
_CONFIG: tuple[tuple[type | tuple[type, ...], tuple[str, ...]], ...] = (
    (
        nn.modules.conv._ConvNd,
        (
            "in_channels",
            "out_channels",
            "kernel_size",
            "stride",
            "padding",
            "output_padding",
            "dilation",
            "groups",
            "padding_mode",
            "transposed",
        ),
    ),
    (nn.Linear, ("in_features", "out_features")),
    (nn.Bilinear, ("in1_features", "in2_features", "out_features")),
    (nn.modules.batchnorm._NormBase, ("num_features", *_NORM)),
    (nn.LayerNorm, ("normalized_shape", "eps", "elementwise_affine")),
    (nn.RMSNorm, ("normalized_shape", "eps", "elementwise_affine")),
    (nn.GroupNorm, ("num_groups", "num_channels", "eps", "affine")),
    ((nn.Embedding, nn.EmbeddingBag), ("num_embeddings", "embedding_dim", "padding_idx")),
    (nn.MultiheadAttention, ("embed_dim", "kdim", "vdim", "num_heads", "head_dim", "batch_first", "dropout")),
    (
        nn.RNNBase,
        ("mode", "input_size", "hidden_size", "num_layers", "batch_first", "dropout", "bidirectional", "proj_size"),
    ),
    (nn.RNNCellBase, ("input_size", "hidden_size")),
    (nn.modules.dropout._DropoutNd, ("p",)),
    (nn.modules.pooling._MaxPoolNd, (*_POOL, "dilation", "ceil_mode")),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), (*_POOL, "ceil_mode")),
    ((nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd), ("output_size",)),
    (nn.Flatten, ("start_dim", "end_dim")),
    ((nn.PixelShuffle,), ("upscale_factor",)),
    (nn.Upsample, ("size", "scale_factor", "mode", "align_corners")),
)


@dataclass(frozen=True, slots=True)
class Held:
    """What a module holds itself: its tensors, and what they count for (each storage at the first that holds it)."""

    tensors: tuple[TensorInfo, ...] = ()
    params: int = 0
    param_bytes: int = 0


@dataclass(slots=True)
class _Storages:
    """The storages met so far: who met them first, which views of them, how many bytes are left to count."""

    owner: dict[int, str] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    views: set[tuple[object, ...]] = field(default_factory=set)


def config_of(module: nn.Module) -> Settings:
    """Return the configuration of a module as plain values; empty for classes that are not torch's own."""
    names = _names_of(type(module))  # type: ignore[arg-type]  # a class is hashable
    if names is None:
        return ()
    values = {name: getattr(module, name) for name in names if hasattr(module, name)}
    if "bias" in module._parameters:
        values["bias"] = module._parameters["bias"] is not None
    elif isinstance(getattr(module, "bias", None), bool):
        values["bias"] = module.bias
    return settings({name: _plain(value) for name, value in values.items()})


@functools.cache
def _names_of(cls: type) -> tuple[str, ...] | None:
    return next((names for classes, names in _CONFIG if issubclass(cls, classes)), None)


@functools.cache
def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _plain(value: object) -> object:
    if isinstance(value, tuple | list):
        return tuple(_plain(item) for item in value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def held_of(tree: Tree) -> dict[str, Held]:
    """Return what each module holds itself."""
    storages = _Storages()
    return {name: _held(name, module, storages) for name, module in tree.modules.items()}


def _held(path: str, module: nn.Module, storages: _Storages) -> Held:
    infos: list[TensorInfo] = []
    params = param_bytes = 0
    for kind, store in (("parameter", module._parameters), ("buffer", module._buffers)):
        for name, tensor in store.items():
            if tensor is None:
                continue
            owner, fresh, size = _count(f"{path}.{name}" if path else name, tensor, storages)
            params += tensor.numel() if fresh and kind == "parameter" else 0
            param_bytes += size
            infos.append(
                TensorInfo(
                    name=name,
                    shape=tuple(tensor.shape),
                    dtype=_dtype_name(tensor.dtype),
                    kind="parameter" if kind == "parameter" else "buffer",
                    trainable=tensor.requires_grad,
                    tied_to=owner,
                )
            )
    for name, tensor in packed_tensors(module):
        size = tensor.numel() * tensor.element_size()
        params += tensor.numel()
        param_bytes += size
        infos.append(
            TensorInfo(
                name=name, shape=tuple(tensor.shape), dtype=_dtype_name(tensor.dtype), kind="parameter", trainable=False
            )
        )
    return Held(tuple(infos), params, param_bytes)


def _count(path: str, tensor: torch.Tensor, storages: _Storages) -> tuple[str | None, bool, int]:
    """Return the path that it is tied to, whether it was not met before, and the bytes that it adds."""
    size = tensor.numel() * tensor.element_size()
    storage = storage_of(tensor)
    if storage is None:
        return None, True, size
    key = storage._cdata
    owner = storages.owner.setdefault(key, path)
    view = (key, tensor.storage_offset(), tensor.shape, tensor.stride())
    fresh = view not in storages.views
    storages.views.add(view)
    left = storages.left.setdefault(key, storage.nbytes())
    added = min(size, left) if fresh else 0
    storages.left[key] = left - added
    return (None if owner == path or storage.nbytes() == 0 else owner), fresh, added


def layers_of(tree: Tree, tallies: Mapping[str, Tally]) -> tuple[LayerProfile, ...]:
    """Put the layers together: own cost, and cost with everything below."""
    held = held_of(tree)
    own = {name: _own_cost(tally, held[name]) for name, tally in tallies.items()}
    sums = _sums(own)
    return tuple(
        LayerProfile(
            name=name,
            kind=tally.kind,
            aliases=tree.aliases.get(name, ()),
            config=config_of(module),
            tensors=held[name].tensors,
            inputs=tally.inputs or (),
            outputs=tally.outputs or (),
            calls=tally.calls,
            cost=sums[name],
            self_cost=own[name],
        )
        for (name, module), tally in zip(tree.modules.items(), tallies.values(), strict=True)
    )


def _own_cost(tally: Tally, held: Held) -> Cost:
    return Cost(
        params=held.params,
        param_bytes=held.param_bytes,
        macs=tally.macs,
        backward_macs=tally.backward_macs,
        elementwise_ops=tally.elementwise_ops,
        moved_bytes=tally.moved_bytes,
        output_bytes=tally.output_bytes,
        saved_bytes=tally.saved_bytes,
    )


def _sums(own: Mapping[str, Cost]) -> dict[str, Cost]:
    """Return each layer's cost with everything below it; parents stand before children in ``own``."""
    names = [part.name for part in fields(Cost)]
    totals = {name: [getattr(cost, part) for part in names] for name, cost in own.items()}
    for name in reversed(list(own)):
        if name:
            _add_into(totals[name.rpartition(".")[0]], totals[name])
    return {name: Cost(**dict(zip(names, values, strict=True))) for name, values in totals.items()}


def _add_into(total: list[int], values: Iterable[int]) -> None:
    for place, value in enumerate(values):
        total[place] += value
