"""A batch norm's scale and shift multiplied into the layer next to it, and what stands in the way of that in a module.

In evaluation mode a norm is ``scale x + shift`` for each channel, with ``scale = gamma / sqrt(var + eps)`` and
``shift = beta - mean scale``. Behind a layer, ``scale (W x + b) + shift`` has ``scale`` by the rows of ``W`` (Jacob et
al. 2018, arXiv:1712.05877, section 3.2). Before one, ``W (scale x + shift) + b`` has it by the columns, and ``W shift``
is added to the bias, the same at each place as long as no place reads padded zeros.
"""

from __future__ import annotations

from typing import Final, cast

from torch import Tensor, nn

from effwidgets.transforms.surgery import HOOKS, plain_obstacle, tied_places

__all__ = ["NORMS", "PLAIN", "TRANSPOSED", "folded", "is_norm", "misfit", "pads_zeros"]

NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""The norms that can be folded."""
PLAIN: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The layers that take over a norm on either side."""
TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""The layers that take over a norm behind them alone."""


def is_norm(module: nn.Module) -> bool:
    """Say whether a module is a batch norm, one that cannot be folded included."""
    return isinstance(module, (*NORMS, nn.SyncBatchNorm))


def pads_zeros(padding: object, mode: object, kernel: object) -> bool:
    """Say whether a convolution puts zeros around its input.

    Args:
        padding: its numbers, or "valid" or "same".
        mode: "zeros", or what else it pads with: numbers of the input, which a norm changes like all others.
        kernel: its sizes.

    >>> pads_zeros((0, 1), "zeros", (3, 3)), pads_zeros("same", "zeros", (1, 1)), pads_zeros((1, 1), "circular", (3, 3))
    (True, False, False)
    """
    if mode != "zeros" or padding == "valid":
        return False
    if padding == "same":
        return _any_above(kernel, 1)
    return _any_above(padding, 0)


def _any_above(sizes: object, least: int) -> bool:
    return any(size > least for size in (sizes if isinstance(sizes, tuple) else (cast("int", sizes),)))


def misfit(model: nn.Module, layer: nn.Module, norm: nn.Module, *, ahead: bool) -> str | None:
    """Say why ``norm`` does not go into ``layer``; None where it does.

    Args:
        model: that holds both.
        layer: to take it over.
        norm: the norm.
        ahead: whether the layer stands behind the norm and not before it.
    """
    if type(layer) not in (PLAIN if ahead else (*PLAIN, *TRANSPOSED)):
        plain = "one that is not transposed, " if ahead else ""
        return (
            f"the layer is a {type(layer).__name__}; a convolution, {plain}or a linear layer of torch.nn was expected"
        )
    if type(norm) not in NORMS:
        return f"the norm is a {type(norm).__name__}; BatchNorm1d, 2d or 3d of torch.nn was expected"
    return _apart(layer, cast("nn.BatchNorm2d", norm), ahead=ahead) or _bound(model, layer, norm)


def _apart(layer: nn.Module, norm: nn.BatchNorm2d, *, ahead: bool) -> str | None:
    # What of their settings does not go together.
    if norm.running_mean is None or norm.running_var is None:
        return "the norm keeps no statistics"
    channels = _channels(layer, ahead=ahead)
    if norm.num_features != channels:
        return f"the norm takes {norm.num_features} channels, the layer {'takes' if ahead else 'returns'} {channels}"
    if ahead and not isinstance(layer, nn.Linear) and pads_zeros(layer.padding, layer.padding_mode, layer.kernel_size):
        return "the layer pads with zeros, which are not normed; folded, they would be"
    return None


def _bound(model: nn.Module, layer: nn.Module, norm: nn.Module) -> str | None:
    # What else hangs on them.
    if any(getattr(norm, hooks, None) for hooks in HOOKS):
        return "the norm has hooks, which would be lost; remove them first"
    tied = tied_places(model, layer)
    return plain_obstacle(layer) or (f"its weight is tied to {tied[0]}" if tied else None)


def folded(layer: nn.Module, norm: nn.Module, *, ahead: bool) -> tuple[Tensor, Tensor]:
    """Return weight and bias of ``layer`` with ``norm`` in it, in double precision.

    Args:
        layer: a convolution or linear layer, its weight ``(out, in / groups, ...)``, or ``(in, out / groups, ...)``
            where it is transposed.
        norm: a batch norm with statistics.
        ahead: whether the layer stands behind the norm and not before it.
    """
    scale, shift = _affine(cast("nn.BatchNorm2d", norm))
    weight, bias = cast("Tensor", layer.weight).detach().double(), cast("Tensor | None", layer.bias)
    start = None if bias is None else bias.detach().double()
    if ahead:
        added = (weight * _columns(layer, shift)).flatten(1).sum(1)
        return weight * _columns(layer, scale), added if start is None else start + added
    return weight * _rows(layer, scale), shift if start is None else start * scale + shift


def _channels(layer: nn.Module, *, ahead: bool) -> int:
    names = ("in_features", "in_channels") if ahead else ("out_features", "out_channels")
    return int(cast("int", getattr(layer, names[not isinstance(layer, nn.Linear)])))


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    # What the norm multiplies each channel by, and what it adds, in double precision.
    assert norm.running_mean is not None  # noqa: S101  rewrite looked
    assert norm.running_var is not None  # noqa: S101
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def _rows(layer: nn.Module, values: Tensor) -> Tensor:
    # A number for each output, along the dimension of the weight that holds the layer's outputs.
    weight = cast("Tensor", layer.weight)
    ones = (1,) * (weight.dim() - 2)
    if not isinstance(layer, TRANSPOSED):
        return values.view(-1, 1, *ones)
    # (in, out / groups, ...): the rows of one group hold the outputs of that group.
    rows = values.view(layer.groups, -1).repeat_interleave(weight.shape[0] // layer.groups, dim=0)
    return rows.view(*rows.shape, *ones)


def _columns(layer: nn.Module, values: Tensor) -> Tensor:
    # A number for each input, along the second dimension: the rows of one group read the inputs of that group.
    weight = cast("Tensor", layer.weight)
    groups = cast("int", getattr(layer, "groups", 1))
    columns = values.view(groups, -1).repeat_interleave(weight.shape[0] // groups, dim=0)
    return columns.view(*columns.shape, *(1,) * (weight.dim() - 2))
