"""The last layers of a block in closed form: least squares on what reaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.transforms.blocks.observed import Observed

__all__ = ["Ends", "least_squares", "settle_norms", "solve_last"]

_RIDGE: Final = 1e-6  # of the mean diagonal entry of the Gram matrix: float32 features have no more figures
_ROWS: Final = 1 << 16
_ROUNDS: Final = 5  # of the solution behind a ReLU


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Which layers of a block its output is linear in.

    Attributes:
        last: their names, in the order of the output's channels.
        norm: the batch norm behind them, where there is one.
    """

    last: tuple[str, ...]
    norm: str | None = None


def least_squares(
    features: Tensor, targets: Tensor, *, ridge: float = _RIDGE, biased: bool = True
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the linear map from ``features`` that is nearest to ``targets``; float64.

    A ridge keeps it finite where features depend on each other. The bias is not held back: both are centred first.

    Args:
        features: ``(rows, in)``.
        targets: ``(rows, out)``.
        ridge: how much is added to the diagonal of the Gram matrix, in parts of its mean entry.
        biased: whether there is a bias; it is zero otherwise.

    >>> x = torch.tensor([[0.0], [1.0], [2.0]])
    >>> weight, bias = least_squares(x, 3 * x + 1)
    >>> round(float(weight), 3), round(float(bias), 3)
    (3.0, 1.0)
    """
    x, y = features.double(), targets.double()
    x_mean, y_mean = x.mean(0) * biased, y.mean(0) * biased
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    scale = float(gram.diagonal().mean()) if gram.numel() else 0.0
    gram.diagonal().add_(ridge * scale if scale > 0 else 1.0)
    weight = torch.linalg.solve(gram, x.T @ y).T
    return weight, y_mean - weight @ x_mean


def solve_last(block: nn.Module, ends: Ends, seen: Observed) -> None:
    """Set the last layers of ``block`` to what brings it nearest to the outputs ``seen``; all before them stay.

    Behind a ReLU the target of an entry that is zero is anything below zero: the solution is taken there, and found
    again (Zhang et al. 2016, arXiv:1505.06798, section 3.2, treat it alike).
    """
    inputs, rest = _reaching(block, ends, seen.before)
    wanted = seen.after - rest
    ended = "end" in dict(block.named_children())
    start = 0
    for name in ends.last:
        layer = cast("nn.Conv2d", block.get_submodule(name))
        stop = start + layer.out_channels
        part = slice(start, stop)
        goal, offset, alive = _rows(wanted[:, part]), _rows(rest[:, part]), _rows(seen.after[:, part]) > 0
        features = _patches(inputs[name], layer)
        features, goal, offset, alive = _fewer(features, goal, offset, alive)
        weight, bias = least_squares(features, goal)
        for _ in range(_ROUNDS if ended else 0):
            made = features.double() @ weight.T + bias
            # Where the output is zero the block may give anything below: what it gives, but no more than zero.
            weight, bias = least_squares(features, torch.where(alive, goal.double(), made.minimum(-offset.double())))
        _write(block, layer, weight, bias, ends.norm)
        start = stop
    if ends.norm is not None:
        _settle(block, ends, inputs)


def settle_norms(block: nn.Module, before: Tensor) -> None:
    """Set the statistics of all batch norms to those of the data, their scales so that the function stays."""
    with watching(block, nn.BatchNorm2d, _restate), torch.no_grad():
        block(before)


def _restate(_name: str, norm: nn.Module, args: Any, _out: Tensor) -> None:
    _set_statistics(cast("nn.BatchNorm2d", norm), args[0])


def _set_statistics(norm: nn.BatchNorm2d, x: Tensor) -> None:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None  # noqa: S101  made by us, with statistics
    assert var is not None  # noqa: S101
    new_mean, new_var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    ratio = ((new_var + norm.eps) / (var + norm.eps)).sqrt()
    slope = norm.weight / (var + norm.eps).sqrt()
    norm.bias.add_(slope * (new_mean - mean))
    norm.weight.mul_(ratio)
    mean.copy_(new_mean)
    var.copy_(new_var)


@contextmanager
def watching(
    block: nn.Module, kind: type[nn.Module], act: Callable[[str, nn.Module, Any, Tensor], Tensor | None]
) -> Iterator[None]:
    """Let ``act`` see, and change, what each layer of a kind returns inside the context."""
    handles = [
        module.register_forward_hook(lambda module, args, out, name=name: act(name, module, args, out))
        for name, module in block.named_children()
        if isinstance(module, kind)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _reaching(block: nn.Module, ends: Ends, before: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    # What reaches the last layers, and what comes out when these give zeros: a shortcut, or nothing.
    found: dict[str, Tensor] = {}

    def silence(name: str, _module: nn.Module, args: Any, out: Tensor) -> Tensor | None:
        if name in ends.last:
            found[name] = args[0]
            return torch.zeros_like(out)
        return args[0] if name in (ends.norm, "end") else None

    with watching(block, nn.Module, silence), torch.no_grad():
        rest = block(before)
    return found, rest


def _write(block: nn.Module, layer: nn.Conv2d, weight: Tensor, bias: Tensor, norm: str | None) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight.reshape(layer.weight.shape))
        if norm is None:
            assert layer.bias is not None  # noqa: S101  made by us, with one
            layer.bias.copy_(bias)
            return
        behind = cast("nn.BatchNorm2d", block.get_submodule(norm))
        assert behind.running_mean is not None  # noqa: S101
        assert behind.running_var is not None  # noqa: S101
        behind.running_mean.zero_()
        behind.running_var.fill_(1 - behind.eps)
        behind.weight.fill_(1.0)
        behind.bias.copy_(bias)


def _settle(block: nn.Module, ends: Ends, inputs: dict[str, Tensor]) -> None:
    with torch.no_grad():
        made = block.get_submodule(ends.last[-1])(inputs[ends.last[-1]])
        _set_statistics(cast("nn.BatchNorm2d", block.get_submodule(str(ends.norm))), made)


def _rows(pictures: Tensor) -> Tensor:
    return pictures.movedim(1, -1).flatten(0, 2)


def _patches(x: Tensor, layer: nn.Conv2d) -> Tensor:
    found = functional.unfold(
        x, cast("Any", layer.kernel_size), padding=cast("Any", layer.padding), stride=cast("Any", layer.stride)
    )
    return found.transpose(1, 2).flatten(0, 1)


def _fewer(*tensors: Tensor) -> Sequence[Tensor]:
    every = -(-len(tensors[0]) // _ROWS)
    return [tensor[::every] for tensor in tensors]
