"""How long each module takes alone, on what it is really called with.

In a real run of a private copy each call is held for a moment and repeated: a module without inner calls as it is; a
module with inner calls with these answered from the record, which leaves its own work, such as an attention product or
a residual add. So what is kept in memory is the inputs of one call and the answers that a parent still waits for, never
the activations of a whole model. No hooks: the fused paths of torch's attention are not taken where a hook stands.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from torch import nn

from effwidgets.errors import EffError
from effwidgets.profiling.calls import Call, map_tensors, tensors_in
from effwidgets.profiling.copies import Copier, copy_tensor
from effwidgets.profiling.timing.clock import Clock, same_random
from effwidgets.profiling.timing.watched import put_forward, watched

__all__ = ["Bench", "Own"]

_FEWEST: Final = 2  # repeats of one call in one round
_MOST: Final = 16
_ENOUGH_S: Final = 0.002  # of one call in one round
_ROOM_BYTES: Final = 512 * 2**20  # for the answers that parents wait for
_PRICES: Final = 200

Place: TypeAlias = tuple[str, int]
"""A call: the path of the module, and which of its calls in one forward it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a module does itself in one forward, all its calls together, as it was timed alone.

    Attributes:
        seconds: sum of the medians of its calls.
        iqr_s: their interquartile ranges, joined as those of independent times.
        repeats: of the call that was repeated least.
    """

    seconds: float
    iqr_s: float
    repeats: int


class _StrayedError(EffError):
    """A repeated call asked for other answers than the first time."""


@dataclass(slots=True)
class _Frame:
    """A call that is going on: what it was given, what it was answered so far."""

    place: Place
    inner: int = 0
    given: Any = None
    answers: list[tuple[str, Any]] | None = field(default_factory=list)
    held_bytes: int = 0


class Bench:
    """Times every module of ``model`` alone, in `rounds` that may lie between other measurements.

    Args:
        model: a private copy; its parameters are read, its buffers and its attributes may change.
        call: what it is called with; copied for each run.
        clock: of its devices.
    """

    def __init__(self, model: nn.Module, call: Call, clock: Clock) -> None:
        self._model, self._call, self._clock = model, call, clock
        self._copier = Copier(model)
        self._modules = dict(watched(model))
        # Does nothing but call: what it takes itself is below what can be measured.
        self._chains = frozenset(name for name, module in self._modules.items() if type(module) is nn.Sequential)
        self._inner: dict[Place, int] = {}  # how many calls stand directly inside each call
        self._given: dict[str, Callable[..., Any] | None] = {}  # forwards that modules had for themselves
        self._samples: dict[Place, list[float]] = {}
        self._counts: dict[str, int] = {}
        self._calls: dict[str, int] = {}  # how often each module is called in one run
        self._stack: list[_Frame] = []
        self._script: deque[tuple[str, Any]] | None = None  # answers, while a parent is repeated
        self._entering = False
        self._room = _ROOM_BYTES
        self._timing = False
        self._price_s = 0.0
        self.ran_s = 0.0
        """Seconds of `whole` in which this thread had the processor."""
        self.failed: dict[str, str] = {}
        """Modules that could not be timed alone, and why."""
        self.at: str | None = None
        """The innermost module through which the exception of a run came, None without one."""

    def scout(self) -> None:
        """Run once, and note which calls there are; a warm-up of the whole model at the same time."""
        self._price_s = self._price()
        self._run(timing=False)
        self._calls = dict(self._counts)

    @property
    def called(self) -> frozenset[str]:
        """Paths of the modules that were called."""
        return frozenset(name for name, _ in self._inner)

    def whole(self) -> float:
        """Run the model once as it is; return its seconds."""
        args, kwargs = self._inputs()
        before_s = time.thread_time()
        seconds = self._clock.time(self._model, args, kwargs)
        self.ran_s += time.thread_time() - before_s
        return seconds

    def _inputs(self) -> Any:
        given = (self._call.args, dict(self._call.kwargs))
        try:
            return self._copier(given)
        except Exception:  # noqa: BLE001  an object that cannot be copied is the caller's wish; its tensors stay theirs
            return map_tensors(given, copy_tensor)

    def round(self) -> None:
        """Run once more, and repeat each call alone on the way."""
        self._run(timing=True)

    def own(self) -> dict[str, Own]:
        """Return what each module takes itself; without those that `failed`, and those that were not called."""
        of: dict[str, list[list[float]]] = {name: [] for name in self.called - self._chains - set(self.failed)}
        for (name, _), times in self._samples.items():
            if name in of:
                of[name].append(times)
        found: dict[str, Own] = {}
        for name, samples in of.items():
            if len(samples) < self._calls[name]:
                self.failed[name] = "another run called it less often"
                continue
            quarters = [statistics.quantiles(times, n=4) for times in samples]
            found[name] = Own(
                seconds=sum(middle for _, middle, _ in quarters),
                iqr_s=sum((high - low) ** 2 for low, _, high in quarters) ** 0.5,
                repeats=min(map(len, samples)),
            )
        return found

    def _run(self, *, timing: bool) -> None:
        self._counts.clear()
        self._stack.clear()
        self._timing, self._room, self.at = timing, _ROOM_BYTES, None
        args, kwargs = self._inputs()
        with same_random(self._clock), self._wrapped():
            self._model(*args, **kwargs)

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        self._given = {name: vars(module).get("forward") for name, module in self._modules.items()}
        try:
            for name, module in self._modules.items():
                vars(module)["forward"] = self._forward_of(name, module.forward)
            yield
        finally:
            for name, forward in self._given.items():
                put_forward(self._modules[name], forward)

    def _forward_of(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if self._script is None:
                return self._called(name, original, args, kwargs)
            if self._entering:
                self._entering = False
                return original(*args, **kwargs)
            expected, answer = self._script.popleft() if self._script else ("", None)
            if expected != name:
                raise _StrayedError("it took another way when it was repeated")
            return answer

        return forward

    def _called(self, name: str, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        place = (name, self._counts.get(name, 0))
        self._counts[name] = place[1] + 1
        above = self._stack[-1] if self._stack else None
        frame = _Frame(place)
        if self._timing:
            self._before(frame, args, kwargs)
        self._stack.append(frame)
        try:
            out = original(*args, **kwargs)
        except BaseException:
            self.at = name if self.at is None else self.at
            raise
        finally:
            self._stack.pop()
        if not self._timing:
            self._inner[place] = frame.inner
        elif frame.given is not None:
            self._after(frame)
        if above is not None:
            above.inner += 1
            self._keep(above, name, out)
        return out

    def _before(self, frame: _Frame, args: Any, kwargs: Any) -> None:
        """Time a call without inner calls; of another one copy what it is called with, as it may write into it."""
        name = frame.place[0]
        inner = self._inner.get(frame.place)
        if inner is None or name in self.failed or name in self._chains:
            frame.answers = None
        elif inner == 0:
            frame.answers = None
            self._time(frame.place, lambda: self._copier((args, kwargs)))
        elif self._hold(frame, (args, kwargs)):
            with self._noted(name):
                frame.given = self._copier((args, kwargs))

    def _after(self, frame: _Frame) -> None:
        """Time what a call does beside the calls inside of it."""
        answers, frame.answers = frame.answers, None

        def prepare() -> Any:
            given, copied = self._copier((frame.given, answers))
            self._script, self._entering = deque(copied), True
            return given

        if answers is not None and self._inner[frame.place] == len(answers):
            self._time(frame.place, prepare)
        self._room += frame.held_bytes

    def _keep(self, above: _Frame, name: str, out: Any) -> None:
        if above.given is not None and above.answers is not None and self._hold(above, out):
            with self._noted(above.place[0]):
                above.answers.append((name, self._copier(out)))  # now: what follows may write into it

    def _hold(self, frame: _Frame, value: Any) -> bool:
        """Say whether there is room for a value; where there is none, its frame lets go of what it had."""
        size = sum({id(tensor): tensor.numel() * tensor.element_size() for tensor in tensors_in(value)}.values())
        if size <= self._room:
            self._room -= size
            frame.held_bytes += size
            return True
        self._room += frame.held_bytes
        frame.held_bytes, frame.answers, frame.given = 0, None, None
        self.failed[frame.place[0]] = "what the calls inside of it answer is too large to be kept"
        return False

    def _time(self, place: Place, prepare: Callable[[], Any]) -> None:
        """Repeat one call, each time with what ``prepare`` makes for it; the first one warms up."""
        module, inner = self._modules[place[0]], self._inner[place]
        wrapper, price_s = vars(module)["forward"], inner * self._price_s
        enough_s = _ENOUGH_S / self._calls[place[0]]  # a cell in a loop is not timed for minutes
        samples: list[float] = []
        try:
            if not inner:
                put_forward(module, self._given[place[0]])  # nothing stands between it and the clock
                self._script = deque()
            with self._noted(place[0]), same_random(self._clock):
                while len(samples) <= _FEWEST or (sum(samples) < enough_s and len(samples) <= _MOST):
                    args, kwargs = prepare()
                    samples.append(max(0.0, self._clock.time(module, args, kwargs) - price_s))
                    if self._script:
                        raise _StrayedError("it took another way when it was repeated")
                self._samples.setdefault(place, []).extend(samples[1:])
        finally:
            vars(module)["forward"] = wrapper
            self._script = None

    @contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  the module's own forward, or an argument that cannot be copied
            self.failed[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:160]

    def _price(self) -> float:
        """Return the seconds that the record takes to answer one call; 0 where a GPU's own clock does not see them."""
        if self._clock.by_events:
            return 0.0
        asked = nn.Identity()
        vars(asked)["forward"] = self._forward_of("", asked.forward)
        times = []
        for _ in range(5):
            self._script = deque([("", None)] * _PRICES)
            start = time.perf_counter()
            for _ in range(_PRICES):
                asked(None)
            times.append((time.perf_counter() - start) / _PRICES)
        self._script = None
        return min(times)
