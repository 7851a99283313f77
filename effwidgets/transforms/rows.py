"""What a linear layer multiplies, as the rows of a matrix: tokens of a Linear, patches of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.errors import TransformError

__all__ = [
    "Places",
    "choose_places",
    "groups_of",
    "is_rowed",
    "rows_in",
    "rows_out",
    "weight_from",
    "weight_matrix",
]

_TURNED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Where a layer writes one row of its output: the same places of input and output, in any order.

    Attributes:
        shape: sizes of the output without its channels: ``(batch, *spatial)``, or ``(tokens,)`` of a Linear.
        index: which of the ``prod(shape)`` places were taken, ``(rows,)``.
    """

    shape: tuple[int, ...]
    index: Tensor

    def split(self, size: int) -> tuple[Places, ...]:
        """Return the same places, at most ``size`` at a time."""
        return tuple(Places(shape=self.shape, index=part) for part in torch.split(self.index, size) if part.numel())


def is_rowed(module: nn.Module) -> bool:
    """Say whether the layer is of torch's linear ones, or a subclass of them."""
    return isinstance(module, nn.Linear | nn.modules.conv._ConvNd)  # noqa: SLF001  the base of all six


def groups_of(module: nn.Module) -> int:
    """Return in how many groups a layer works; 1 for a Linear."""
    return int(getattr(module, "groups", 1))


def choose_places(module: nn.Module, output: Tensor, limit: int, *, seed: int = 0) -> Places:
    """Take at most ``limit`` places of what ``module`` returned, the same ones each time, spread by chance.

    Args:
        module: the layer.
        output: what it returned.
        limit: how many to take at most; all of them where there are fewer.
        seed: another one takes other places.
    """
    shape = tuple(output.shape[:-1]) if isinstance(module, nn.Linear) else _spread(module, output)
    shape = (_product(shape),) if isinstance(module, nn.Linear) else shape
    count = _product(shape)
    if count <= limit:
        index = torch.arange(count)
    else:
        own = torch.Generator().manual_seed(seed)
        # One place of each of `limit` equal runs: every sample has its share.
        start = torch.arange(limit, dtype=torch.float64) * (count / limit)
        index = (start + torch.rand(limit, generator=own, dtype=torch.float64) * (count / limit)).long()
        index = index.clamp_(max=count - 1)
    return Places(shape=shape, index=index.to(output.device))


def rows_in(module: nn.Module, value: Tensor, places: Places) -> Tensor:
    """Return what the weight meets at these places, ``(rows, groups, width)`` in double precision.

    ``width`` runs over the inputs of one group and the places of the kernel, as in `weight_matrix`.

    Raises:
        TransformError: the layer is not a linear one.
    """
    if isinstance(module, nn.Linear):
        return _double(value.reshape(-1, value.shape[-1])[places.index])[:, None, :]
    if not isinstance(module, nn.modules.conv._ConvNd):  # noqa: SLF001  the base of all six
        message = f"The layer is a {type(module).__name__}; a Linear or a convolution of torch.nn was expected."
        raise TransformError(message)
    if isinstance(module, _TURNED):
        return _gathered(_stuffed(module, value, places), places, module, [1] * len(module.kernel_size))
    return _gathered(_padded(module, value), places, module, module.stride)


def rows_out(module: nn.Module, output: Tensor, places: Places) -> Tensor:
    """Return what the layer wrote at these places, ``(rows, out)`` in double precision."""
    if isinstance(module, nn.Linear):
        return _double(output.reshape(-1, output.shape[-1])[places.index])
    whole = output if output.dim() == len(places.shape) + 1 else output[None]
    return _double(whole.movedim(1, -1).flatten(0, -2)[places.index])


def weight_matrix(module: nn.Module, weight: Tensor) -> Tensor:
    """Return ``weight`` as what multiplies the rows: ``(groups, out per group, width)``; a view or a copy.

    A transposed convolution is a convolution of its input with zeros between, with the kernel turned around.
    """
    groups = groups_of(module)
    if isinstance(module, _TURNED):
        into, out = weight.shape[0] // groups, weight.shape[1]
        turned = weight.flip(tuple(range(2, weight.dim())))
        return turned.reshape(groups, into, out, -1).transpose(1, 2).reshape(groups, out, -1)
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def weight_from(module: nn.Module, matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the weight of ``shape`` of which ``matrix`` is the `weight_matrix`."""
    if isinstance(module, _TURNED):
        groups, out, _ = matrix.shape
        into = shape[0] // groups
        back = matrix.reshape(groups, out, into, *shape[2:]).transpose(1, 2)
        return back.reshape(tuple(shape)).flip(tuple(range(2, len(shape))))
    return matrix.reshape(tuple(shape))


def _product(sizes: Sequence[int]) -> int:
    found = 1
    for size in sizes:
        found *= int(size)
    return found


def _double(tensor: Tensor) -> Tensor:
    # Not every accelerator knows double precision.
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).detach().double()


def _spread(module: nn.Module, output: Tensor) -> tuple[int, ...]:
    spatial = len(module.kernel_size)  # type: ignore[arg-type]
    batch = output.shape[0] if output.dim() == spatial + 2 else 1
    return (int(batch), *(int(size) for size in output.shape[output.dim() - spatial :]))


def _batched(module: nn.modules.conv._ConvNd, value: Tensor) -> Tensor:
    return value if value.dim() == len(module.kernel_size) + 2 else value[None]


def _padded(module: nn.modules.conv._ConvNd, value: Tensor) -> Tensor:
    pads: list[int] = []
    for place in reversed(range(len(module.kernel_size))):
        if module.padding == "same":
            whole = module.dilation[place] * (module.kernel_size[place] - 1)
            pads += [whole // 2, whole - whole // 2]
        else:
            pads += [0, 0] if module.padding == "valid" else [int(module.padding[place])] * 2
    value = _batched(module, value)
    if not any(pads):
        return value
    return functional.pad(value, pads, mode="constant" if module.padding_mode == "zeros" else module.padding_mode)


def _stuffed(module: nn.modules.conv._ConvNd, value: Tensor, places: Places) -> Tensor:
    # The input with stride - 1 zeros between neighbours, so that the layer is a plain convolution of it.
    value = _batched(module, value)
    sizes = [(size - 1) * stride + 1 for size, stride in zip(value.shape[2:], module.stride, strict=True)]
    wide = value.new_zeros((*value.shape[:2], *sizes))
    wide[(slice(None), slice(None), *(slice(None, None, stride) for stride in module.stride))] = value
    pads: list[int] = []
    for place in reversed(range(len(sizes))):
        reach = module.dilation[place] * (module.kernel_size[place] - 1)
        before = reach - int(module.padding[place])
        pads += [before, places.shape[1 + place] + reach - before - sizes[place]]
    return functional.pad(wide, pads)


def _gathered(value: Tensor, places: Places, module: nn.modules.conv._ConvNd, stride: Sequence[int]) -> Tensor:
    # Only the patches asked for: all of them would be as many copies of the input as the kernel has entries.
    batch, *spots = torch.unravel_index(places.index, places.shape)
    spatial, rows = len(module.kernel_size), places.index.numel()
    indices = [batch.view(rows, *[1] * spatial)]
    for axis, spot in enumerate(spots):
        reach = torch.arange(module.kernel_size[axis], device=value.device) * module.dilation[axis]
        window = (spot * stride[axis])[:, None] + reach
        indices.append(window.view(rows, *(-1 if other == axis else 1 for other in range(spatial))))
    patches = value.movedim(1, -1)[tuple(indices)].movedim(-1, 1)
    return _double(patches.reshape(rows, module.groups, -1))
