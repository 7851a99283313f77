"""The chance of one training: dropout and order from generators of its own, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.profiling.dice import Dice

__all__ = ["Chance", "Chances", "unchecked"]

_DROPOUT: Final = torch.ops.aten.native_dropout.default


class Chance(Dice):  # type: ignore[no-untyped-call]  # torch's __init_subclass__ has no types
    """Draws whatever torch draws on this thread from generators of its own, also where another one was handed in.

    So neither the state of the process nor the generator of the caller's loader moves, and a training in a thread is
    the same for the same seed. Python's and numpy's random numbers are the caller's own; attention with dropout on a
    GPU draws inside of its kernel from torch's generator.

    Args:
        seed: of the generators, one for each device.

    >>> layer, x = nn.Dropout(0.5), torch.ones(100)
    >>> with Chance(seed=3):
    ...     first = layer(x)
    >>> with Chance(seed=3):
    ...     torch.equal(layer(x), first)
    True
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.drawn = 0
        """How many times numbers were drawn."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _DROPOUT:
            return self._dropout(*args, **kwargs)
        if kwargs.get("generator") is not None:
            kwargs = {**kwargs, "generator": self._generator(args, kwargs)}
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _generator(self, args: Any, kwargs: Any) -> torch.Generator:
        self.drawn += 1
        return super()._generator(args, kwargs)

    def _dropout(self, value: Tensor, p: float, train: bool | None = True) -> tuple[Tensor, Tensor]:  # noqa: FBT001, FBT002  torch's signature
        # The fused kernel of a GPU takes no generator.
        kept = torch.ones_like(value, dtype=torch.bool)
        if not train:
            return value.clone(), kept
        kept = kept.bernoulli_(1 - p, generator=self._generator((value,), {}))
        return value * kept * (0.0 if p == 1 else 1 / (1 - p)), kept


@contextmanager
def unchecked(model: nn.Module) -> Iterator[None]:
    """Let checkpointed blocks keep what they compute: computing it again saves and puts back the state of the process.

    The numbers are the same either way; the blocks are as they were afterwards.
    """
    with ExitStack() as stack:
        for module in model.modules():
            if hasattr(module, "checkpoint_fn"):  # torch's CheckpointWrapper, which is slow to import
                stack.callback(setattr, module, "checkpoint_fn", module.checkpoint_fn)
                setattr(module, "checkpoint_fn", _plain)  # noqa: B010  a module's type knows no such attribute
        yield


def _plain(forward: Any, *args: Any, **kwargs: Any) -> Any:
    return forward(*args, **kwargs)


class Chances:
    """`Chance` around the forwards of a training, where they draw numbers: it doubles the time of a small model.

    Whether they do is looked at once for each kind of forward, and again after `forget`.
    """

    def __init__(self, seed: int) -> None:
        self._dice = Chance(seed)
        self._drawing: dict[str, bool] = {}

    def forget(self) -> None:
        """Look again."""
        self._drawing.clear()

    @contextmanager
    def around(self, kind: str) -> Iterator[None]:
        """Run a forward inside."""
        if not self._drawing.get(kind, True):
            yield
            return
        before = self._dice.drawn
        with self._dice:
            yield
        self._drawing[kind] = self._drawing.get(kind, False) or self._dice.drawn > before
