"""What layers answered in earlier forwards of the same batches, as long as nothing before them has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from torch import Tensor, nn

__all__ = ["Remembered"]

_BYTES: Final = 2**29  # what is remembered at most; the rest is computed again
_KINDS: Final = frozenset(
    {nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}
)


class Remembered:
    """Spares the forwards of a stand-in what they did before: repair goes from front to back.

    What ran before the layers whose values are about to change cannot depend on them, and will be answered from here
    in later forwards of the same batch.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int, int], Tensor] = {}
        self._left = _BYTES
        self._batch = 0
        self._calls: Counter[str] = Counter()
        self._closed = False

    @contextmanager
    def on(self, twin: nn.Module, batch: int, changing: Collection[nn.Module]) -> Iterator[None]:
        """Answer for the linear layers of ``twin``, which is run with batch number ``batch``, as long as this lasts.

        From the first of ``changing`` on nothing more is remembered.
        """
        self._batch, self._closed = batch, False
        self._calls.clear()
        covered = []
        try:
            for name, module in twin.named_modules():
                if type(module) in _KINDS and "forward" not in vars(module):
                    self._cover(name, module, last=module in changing)
                    covered.append(module)
            yield
        finally:
            for module in covered:
                del module.forward

    def _cover(self, name: str, module: nn.Module, *, last: bool) -> None:
        forward = module.forward

        def answer(*args: object, **kwargs: object) -> object:
            key = (name, self._batch, self._calls[name])
            self._calls[name] += 1
            known = self._answers.get(key)
            if known is not None:
                return known.clone()  # some forwards write into what a layer returned
            self._closed = self._closed or last
            made = forward(*args, **kwargs)
            if not self._closed and isinstance(made, Tensor) and made.nbytes <= self._left:
                self._left -= made.nbytes
                self._answers[key] = made.detach().clone()
            return made

        module.forward = answer
