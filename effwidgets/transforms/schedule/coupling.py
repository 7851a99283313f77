"""Two streams through residual blocks, whose inputs are computed again from their outputs.

Gomez et al. 2017, arXiv:1707.04585, equations 6 to 9: ``y1 = x1 + F(x2)``, ``y2 = x2 + G(y1)``, so that
``x2 = y2 - G(y1)`` and ``x1 = y1 - F(x2)``. A block ``B`` gives the function ``B(x) - x``; both streams begin as the
input, and their mean is the output (Kitaev et al. 2020, arXiv:2001.04451, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

__all__ = ["ReversibleBlocks"]

_Dice: TypeAlias = tuple[Tensor, Tensor | None]


class ReversibleBlocks(nn.Module):
    """An even number of blocks that keep the shape of their one input, coupled by twos.

    Between forward and backward of a training step it keeps the two streams at its end, however many blocks there are.
    In the backward each block runs once more, with the random numbers of the first time, and leaves the running
    statistics of its batch norms alone.

    Args:
        blocks: each a function of one tensor to one of the same shape.
        saving: keep nothing but the ends; False to have autograd keep everything, for comparison.
    """

    def __init__(self, blocks: Sequence[nn.Module], *, saving: bool = True) -> None:
        super().__init__()
        if not blocks or len(blocks) % 2:
            message = f"{len(blocks)} blocks came; an even number was expected."
            raise ValueError(message)
        self.blocks = nn.ModuleList(blocks)
        self.saving = saving

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of the two streams."""
        if self.saving and torch.is_grad_enabled():
            learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
            one, two = _Coupled.apply(x, x, self.blocks, *learning)  # type: ignore[no-untyped-call]
        else:
            one = two = x
            for place in range(0, len(self.blocks), 2):
                one = one + _added(self.blocks[place], two)
                two = two + _added(self.blocks[place + 1], one)
        mean: Tensor = (one + two) / 2
        return mean


def _added(block: nn.Module, x: Tensor) -> Tensor:
    # What a residual block adds to its input. Blocks may write into what they are given.
    out: Tensor = block(x.clone()) - x
    return out


class _Coupled(Function):
    @staticmethod
    def forward(ctx: Any, one: Tensor, two: Tensor, blocks: nn.ModuleList, *learning: Tensor) -> tuple[Tensor, Tensor]:
        ctx.blocks, ctx.learning, ctx.dice = blocks, learning, []
        ctx.casts = _casts(one)
        with torch.no_grad():
            for place in range(0, len(blocks), 2):
                ctx.dice.append(_thrown(one))
                one = one + _added(blocks[place], two)
                ctx.dice.append(_thrown(one))
                two = two + _added(blocks[place + 1], one)
        ctx.save_for_backward(one, two)
        return one, two

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        one, two = (tensor.detach() for tensor in ctx.saved_tensors)
        above, below = given
        total: list[Tensor | None] = [None] * len(ctx.learning)
        for place in range(len(ctx.blocks) - 1, 0, -2):
            # two = x2 + G(one), one = x1 + F(x2): back through G, then through F.
            out, gradient = _again(ctx, place, one, below, total)
            two, above = two - out, above + gradient
            out, gradient = _again(ctx, place - 1, two, above, total)
            one, below = one - out, below + gradient
        return (above, below, None, *total)


def _again(
    ctx: Any, place: int, x: Tensor, gradient: Tensor, total: list[Tensor | None]
) -> tuple[Tensor, Tensor | float]:
    """Run one block again; return what it added, and the gradient of its input; add up those of its parameters."""
    block, own = ctx.blocks[place], x.detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(**ctx.casts), _same(ctx.dice[place], x), _still(block):
        out = _added(block, own)
    found = torch.autograd.grad(out, (own, *ctx.learning), gradient, allow_unused=True)
    for number, part in enumerate(found[1:]):
        before = total[number]
        total[number] = part if before is None else before if part is None else before + part
    return out.detach(), 0.0 if found[0] is None else found[0]


def _casts(x: Tensor) -> dict[str, Any]:
    # A backward runs outside of the autocast that its forward ran in.
    kind = x.device.type
    return {
        "device_type": kind,
        "enabled": torch.is_autocast_enabled(kind),
        "dtype": torch.get_autocast_dtype(kind),
        "cache_enabled": torch.is_autocast_cache_enabled(),
    }


def _thrown(x: Tensor) -> _Dice:
    return torch.get_rng_state(), torch.cuda.get_rng_state(x.device) if x.is_cuda else None


@contextmanager
def _same(dice: _Dice, x: Tensor) -> Iterator[None]:
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.set_rng_state(dice[0])
        if dice[1] is not None:
            torch.cuda.set_rng_state(dice[1], x.device)
        yield


@contextmanager
def _still(block: nn.Module) -> Iterator[None]:
    # A batch norm in training has seen this batch already.
    norms = [norm for norm in block.modules() if isinstance(norm, nn.modules.batchnorm._NormBase) and norm.training]  # noqa: SLF001
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm, _, count in before:
            norm.momentum = 0.0
            norm.num_batches_tracked = None if count is None else count.clone()
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
