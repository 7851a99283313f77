"""The obvious pruner: slow, written from what a `Group` says and from nothing else; an oracle for those that prune."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from effwidgets.records import Group, Member

__all__ = ["cut_out", "silence", "spread"]

Convolution: TypeAlias = (
    nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
)
_TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_VECTORS: Final = ("bias", "running_mean", "running_var")
_COUNTS: Final = {
    "out": ("out_features", "out_channels", "num_features", "num_parameters", "embedding_dim"),
    "in": ("in_features", "in_channels"),
}


def spread(group: Group, each: int = 1) -> list[int]:
    """Return channels to remove: ``each`` from every block, at another place in one block than in the next.

    >>> spread(Group(name="conv", channels=8, members=(), blocks=2))
    [0, 5]
    """
    run = group.channels // group.blocks
    return sorted(block * run + (block + place) % run for block in range(group.blocks) for place in range(each))


def silence(model: nn.Module, group: Group, gone: Sequence[int]) -> None:
    """Set to zero, in place, the weights with which ``gone`` channels are read; norms leave them out."""
    for member in group.members:
        module = model.get_submodule(member.layer)
        if member.side == "out" and isinstance(module, nn.LayerNorm | nn.RMSNorm):
            module.register_forward_hook(_without(list(_entries(member, gone))))
        if member.side == "in":
            module = model.get_submodule(member.layer)
            weight = _tensor(module, "weight")
            with torch.no_grad():
                for entry in _entries(member, gone):
                    _read(module, weight, entry).zero_()


def _without(gone: list[int]) -> Callable[[nn.Module, tuple[Tensor], Tensor], Tensor]:
    """Return a hook that answers for a norm over all channels but some, written out (Ba et al. 2016, equation 3)."""

    def hook(norm: nn.Module, given: tuple[Tensor], _answer: Tensor) -> Tensor:
        stays = torch.ones(given[0].shape[-1], dtype=given[0].dtype)
        stays[gone] = 0
        count, eps = stays.sum(), getattr(norm, "eps", None)
        eps = torch.finfo(given[0].dtype).eps if eps is None else eps
        mean = (given[0] * stays).sum(-1, keepdim=True) / count * isinstance(norm, nn.LayerNorm)
        spread = ((given[0] - mean).square() * stays).sum(-1, keepdim=True) / count
        found = (given[0] - mean) / (spread + eps).sqrt()
        for name, tensor in norm.named_parameters():
            found = found * tensor if name == "weight" else found + tensor
        return found * stays

    return hook


def cut_out(model: nn.Module, group: Group, gone: Sequence[int]) -> None:
    """Remove channels in place: each entry that is not named stays, of each tensor along the right dimension."""
    sides: dict[tuple[str, Literal["out", "in"]], set[int]] = {}
    for member in group.members:
        if member.tensor:
            module = model.get_submodule(member.layer)
            tensor, out = _tensor(module, member.tensor), set(_entries(member, gone))
            kept = [entry for entry in range(tensor.shape[member.axis]) if entry not in out]
            _put(module, member.tensor, tensor.index_select(member.axis, torch.tensor(kept)))
            continue
        sides.setdefault((member.layer, member.side), set()).update(_entries(member, gone))
    for (layer, side), dropped in sides.items():
        _cut(model.get_submodule(layer), side, dropped)
    for layer, attribute, worth in group.stated:
        module = model.get_submodule(layer)
        setattr(module, attribute, getattr(module, attribute) - worth * len(gone))


def _entries(member: Member, channels: Sequence[int]) -> Iterator[int]:
    for channel in channels:
        first = member.start + channel * member.repeat
        yield from range(first, first + member.repeat)


def _tensor(module: nn.Module, name: str) -> Tensor:
    tensor = getattr(module, name)
    assert isinstance(tensor, Tensor)
    return tensor


def _groups(module: nn.Module) -> int:
    return module.groups if isinstance(module, _CONVOLUTIONS) else 1


def _turned(module: nn.Module) -> bool:
    return isinstance(module, _TRANSPOSED)


def _read(module: nn.Module, weight: Tensor, entry: int) -> Tensor:
    """Return the weights that meet one input."""
    if _turned(module):
        return weight[entry]
    run = weight.shape[1]
    rows = weight.shape[0] // _groups(module)
    block = entry // run
    return weight[block * rows : (block + 1) * rows, entry % run]


def _cut(module: nn.Module, side: Literal["out", "in"], dropped: set[int]) -> None:
    groups = _groups(module)
    if isinstance(module, _CONVOLUTIONS) and 1 < groups == module.in_channels:
        _cut_depthwise(module, dropped)
        return
    axis = 1 if isinstance(module, nn.Embedding) or (side == "in") != _turned(module) else 0
    weight = _tensor(module, "weight")
    rows = torch.split(weight, weight.shape[0] // groups if axis == 1 else weight.shape[0])
    run = weight.shape[1] if weight.dim() > 1 else 0
    parts = []
    for block, part in enumerate(rows):
        offset = block * run if axis == 1 and groups > 1 else 0
        kept = [entry for entry in range(part.shape[axis]) if entry + offset not in dropped]
        parts.append(part.index_select(axis, torch.tensor(kept)))
    _put(module, "weight", torch.cat(parts))
    _finish(module, side, dropped)


def _cut_depthwise(module: Convolution, dropped: set[int]) -> None:
    each = module.out_channels // module.groups
    if _turned(module):
        kept = [place for place in range(module.groups) if place * each not in dropped]
    else:
        kept = [entry for entry in range(module.out_channels) if entry not in dropped]
    _put(module, "weight", module.weight.index_select(0, torch.tensor(kept)))
    module.groups -= len(dropped) // each
    module.in_channels -= len(dropped) // each
    _finish(module, "out", dropped)


def _finish(module: nn.Module, side: Literal["out", "in"], dropped: set[int]) -> None:
    for name in _VECTORS if side == "out" else ():
        tensor = getattr(module, name, None)
        if isinstance(tensor, Tensor):
            kept = [entry for entry in range(len(tensor)) if entry not in dropped]
            _put(module, name, tensor.index_select(0, torch.tensor(kept)))
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        module.normalized_shape = (module.normalized_shape[0] - len(dropped),)
    for name in _COUNTS[side]:
        if hasattr(module, name):
            setattr(module, name, getattr(module, name) - len(dropped))


def _put(module: nn.Module, name: str, value: Tensor) -> None:
    before = getattr(module, name)
    made = value.detach().clone()
    setattr(module, name, nn.Parameter(made, before.requires_grad) if isinstance(before, nn.Parameter) else made)
