"""The chance of one training: dropout, order and augmentation from generators of its own, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.profiling.dice import Dice

__all__ = ["Chance", "chance"]

_DROPOUT: Final = torch.ops.aten.native_dropout.default


class Chance(Dice):
    """Draws whatever torch draws on this thread from generators of its own, also where another one was handed in.

    So neither the state of the process nor the generator of the caller's loader moves, and a training in a thread is
    the same for the same seed. Python's and numpy's random numbers are the caller's own; attention with dropout on a
    GPU draws inside of its kernel from torch's generator.

    >>> layer, x = nn.Dropout(0.5), torch.ones(100)
    >>> with Chance(seed=3):
    ...     first = layer(x)
    >>> with Chance(seed=3):
    ...     torch.equal(layer(x), first)
    True
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _DROPOUT:
            return self._dropout(*args, **kwargs)
        if kwargs.get("generator") is not None:
            kwargs = {**kwargs, "generator": self._generator(args, kwargs)}
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _dropout(self, value: Tensor, p: float, train: bool | None = True) -> tuple[Tensor, Tensor]:  # noqa: FBT001, FBT002  torch's signature
        # The fused kernel of a GPU takes no generator.
        kept = torch.ones_like(value, dtype=torch.bool)
        if not train:
            return value.clone(), kept
        kept = kept.bernoulli_(1 - p, generator=self._generator((value,), {}))
        return value * kept * (0.0 if p == 1 else 1 / (1 - p)), kept


@contextmanager
def chance(model: nn.Module, seed: int) -> Iterator[None]:
    """Train ``model`` inside: with `Chance`, and without checkpoints, which save and put back the state of the process.

    A checkpointed block computes the same numbers either way; it is left as it was afterwards.
    """
    with ExitStack() as stack:
        for module in model.modules():
            if hasattr(module, "checkpoint_fn"):  # torch's CheckpointWrapper, which is slow to import
                stack.callback(setattr, module, "checkpoint_fn", module.checkpoint_fn)
                module.checkpoint_fn = _plain
        stack.enter_context(Chance(seed))
        yield


def _plain(forward: Any, *args: Any, **kwargs: Any) -> Any:
    return forward(*args, **kwargs)
