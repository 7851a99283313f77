"""What the model computed on the calls of a measurement, so that a changed copy computes only what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.search.advice.replay import Replay
from effwidgets.transforms.trial import AROUND, answer, stand_in

__all__ = ["Memory"]

_MOST: Final = 4  # calls that are remembered; each may take 256 MiB


class Memory:
    """Remembers one forward of the model for each of some calls.

    Inside of `used` every forward of a stand-in on one of them, also those of a fit or a repair in this thread, takes
    from it what is bit for bit the same there (`Replay`).

    Attributes:
        answers: what the model answered, by the number of the call.
    """

    def __init__(self, model: nn.Module, calls: Sequence[Call]) -> None:
        self.answers: list[object] = []
        self._calls = tuple(calls)  # kept alive: they are known by their identity
        self._replays: dict[int, Replay] = {}
        for number, call in enumerate(self._calls):
            twin = stand_in(model)
            replay = Replay()
            with replay.recording(twin) if number < _MOST else nullcontext():
                self.answers.append(answer(twin, call))
            if number < _MOST:
                self._replays[id(call)] = replay

    @contextmanager
    def used(self) -> Iterator[None]:
        """Answer from memory, in this thread, as long as this lasts."""
        token = AROUND.set(self._around)
        try:
            yield
        finally:
            AROUND.reset(token)

    def _around(self, model: nn.Module, call: Call) -> AbstractContextManager[None]:
        replay = self._replays.get(id(call))
        # A norm that estimates its statistics anew must see what it is given.
        if replay is None or any(module.training for module in model.modules()):
            return nullcontext()
        return replay.into(model)
