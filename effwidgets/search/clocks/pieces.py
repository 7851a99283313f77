"""What a step does to the time of a model, from the time of the pieces that it changes."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from effwidgets.errors import Cancelled, EffError, ModelError, TransformError
from effwidgets.profiling.calls import Call, batch_of, map_tensors, tensors_in
from effwidgets.profiling.timing.alone import alone
from effwidgets.profiling.timing.clock import Clock, same_random
from effwidgets.profiling.timing.stopwatch import paired
from effwidgets.records import Latency, LatencyChange, Plan, Profile, Step
from effwidgets.search.clocks.changes import Changes, Pair
from effwidgets.search.clocks.memo import Memo, Timed, shared_memo
from effwidgets.search.clocks.where import place_text
from effwidgets.transforms.trial import stand_in

__all__ = ["Pieces"]

_FEWEST: Final = 7  # rounds, however long they take
_FEWEST_SLOW: Final = 4
_SLOW_S: Final = 0.2  # of one round: from here on there are fewer
_MOST: Final = 40
_WHOLE: Final = (
    5  # times as long: every prediction adds to it, and on a busy machine the first rounds are the slow ones
)
_SAMPLE_S: Final = 0.0003  # of one sample: what is shorter is repeated


@dataclass(frozen=True, slots=True)
class _Found:
    timed: Timed
    remembered: bool


class Pieces:
    """Times the pieces of a model that steps change, as they are and as they would be.

    A piece is a layer that the step changes, replaces or gives other shapes, or what a module with others inside does
    itself where that changes. It is laid out by the step's own `rewrite` on a copy, with random weights and random
    inputs of the shapes that it meets, and run alone: as it is and in all the forms that are asked for together, in an
    order drawn anew each round, each called untimed first. Pieces of equal shape are timed once; what was measured
    stays on disk, by shapes, settings, threads, dtype, device, processor and version of torch.

    Args:
        model: as it is; it is not changed. It is run once, on a copy, to see what its layers are called with.
        call: what it is called with.
        profile: of the two, with groups where steps prune.
        seconds: about how long one form of one piece is measured; at least seven rounds, four of slow
            ones, are taken whatever they take.
        check: called before each piece; what it raises ends the work.

    >>> from effwidgets.profiling import profile
    >>> from effwidgets.records import settings
    >>> net, call = nn.Sequential(nn.Linear(64, 64), nn.ReLU()), Call((torch.zeros(2, 64),))
    >>> pieces = Pieces(net, call, profile(net, call), seconds=0.001)
    >>> found = pieces.of(Step(transform="low_rank", layers=("0",), settings=settings(rank=4)))
    >>> found.before_s > 0 and found.after_s > 0 and found.repeats >= 7
    True
    """

    def __init__(
        self,
        model: nn.Module,
        call: Call,
        profile: Profile,
        *,
        seconds: float = 0.02,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._model, self._call, self._profile = stand_in(model), call, profile
        self._seconds, self._check = seconds, check or _never
        self._memo: Memo = shared_memo()
        self._found: dict[str, _Found] = {}
        self._failed: dict[str, EffError] = {}
        self._changed: Changes | None = None
        self._asked: dict[tuple[tuple[Step, ...], str], Counter[Pair]] = {}
        self._whole: Latency | None = None  # not that of the profile: pieces and whole are read from one clock
        tensors = (*self._model.parameters(), *self._model.buffers(), *tensors_in(call))
        self._known = frozenset(id(tensor) for tensor in tensors)
        self._device = next((tensor.device for tensor in tensors), torch.device("cpu"))

    def whole(self) -> Latency:
        """Return the time of the whole model, measured once.

        Raises:
            ModelError: its forward fails.
        """
        if self._whole is None:
            self._check()
            self._whole = self._measured_whole()
        return self._whole

    def of(self, step: Step) -> LatencyChange:
        """Return what ``step`` alone changes; see `of_many`."""
        return self.of_many([step])[0]

    def of_many(self, steps: Iterable[Step]) -> list[LatencyChange]:
        """Return what each of ``steps`` changes, alone, measured together.

        Raises:
            TransformError: a step cannot be done, or what it puts in cannot be run alone.
            UnknownNameError: a transformation, layer or setting that there is not.
        """
        return [_sound(found) for found in self.tried(steps)]

    def tried(self, steps: Iterable[Step]) -> list[LatencyChange | EffError]:
        """Return the same, with the error in the place of a step that cannot be done or timed."""
        return self._changes([(step,) for step in steps])

    def plan(self, steps: Plan | Iterable[Step]) -> LatencyChange:
        """Predict what all ``steps``, one after the other, change together: later ones meet what earlier ones left.

        ``whole_s + change_s`` is the predicted time.

        Raises:
            TransformError: a step cannot be done, or what it puts in cannot be run alone.
            UnknownNameError: a transformation, layer or setting that there is not.
        """
        return _sound(self._changes([tuple(steps)])[0])

    def knows(self, steps: Plan | Iterable[Step]) -> bool:
        """Say whether `plan` can answer without measuring: whole and pieces were timed, here or earlier."""
        if self._whole is None:
            return False
        try:
            keys = [pair.key for pair in self._pairs(tuple(steps), place_text(self._device))]
        except Cancelled:
            raise
        except EffError:  # so `plan` says at once why it cannot
            return True
        done = (*self._found, *self._failed)
        return all(key in done or self._memo.get(key) is not None for key in keys)

    def _changes(self, plans: Sequence[tuple[Step, ...]]) -> list[LatencyChange | EffError]:
        whole = self.whole()  # first: it also warms the processor up
        where = place_text(self._device)
        asked: list[Counter[Pair] | EffError] = []
        for steps in plans:
            self._check()
            try:
                asked.append(self._pairs(steps, where))
            except Cancelled:
                raise
            except EffError as error:
                asked.append(error)
        self._time(pair for pairs in asked if isinstance(pairs, Counter) for pair in pairs)
        return [self._summed(pairs, whole) if isinstance(pairs, Counter) else pairs for pairs in asked]

    def _measured_whole(self) -> Latency:
        clock = Clock([self._device])
        args, kwargs = map_tensors((self._call.args, dict(self._call.kwargs)), lambda tensor: tensor.detach().clone())
        twin = stand_in(self._model)
        with torch.inference_mode(mode=False), torch.no_grad(), alone(), same_random(clock):
            try:
                (times,) = _rounds([lambda: twin(*args, **kwargs)], clock, _WHOLE * self._seconds)
            except Exception as error:
                text = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
                raise ModelError(f"The forward of {type(twin).__name__} failed: {text}.") from error
        first, median, third = statistics.quantiles(times, n=4)
        return Latency(
            median_s=median,
            iqr_s=third - first,
            repeats=len(times),
            device=str(self._device),
            threads=torch.get_num_threads(),
            batch=batch_of(self._call),
        )

    def _pairs(self, steps: tuple[Step, ...], where: str) -> Counter[Pair]:
        if self._changed is None:
            self._changed = Changes(self._model, self._call, self._profile)
        if (steps, where) not in self._asked:
            self._asked[steps, where] = Counter(pair.at(where) for pair in self._changed.pairs(steps))
        return self._asked[steps, where]

    def _summed(self, pairs: Mapping[Pair, int], whole: Latency) -> LatencyChange | EffError:
        # Errors of pieces that are one and the same are one and the same too; those of others are independent.
        before_s = after_s = squared = 0.0
        repeats, remembered = _MOST, bool(pairs)
        for pair, times in pairs.items():
            if pair.key in self._failed:
                return self._failed[pair.key]
            found = self._found[pair.key]
            before_s += times * found.timed.before_s
            after_s += times * found.timed.after_s
            squared += (times * found.timed.error_s) ** 2
            repeats = min(repeats, found.timed.repeats)
            remembered &= found.remembered
        return LatencyChange(
            before_s=before_s,
            after_s=after_s,
            error_s=squared**0.5,
            whole_s=whole.median_s,
            repeats=repeats if pairs else 0,
            device=str(self._device),
            threads=torch.get_num_threads(),
            remembered=remembered,
        )

    def _time(self, pairs: Iterable[Pair]) -> None:
        # What stands for one piece takes turns with it, whoever asked for it.
        waiting: dict[str, dict[str, Pair]] = {}
        for pair in pairs:
            if pair.key not in self._found and pair.key not in self._failed:
                known = self._memo.get(pair.key)
                if known is None:
                    waiting.setdefault(pair.before.key(), {})[pair.key] = pair
                else:
                    self._found[pair.key] = _Found(known, remembered=True)
        for group in waiting.values():
            self._check()
            for key, timed in self._measured(list(group.values())):
                self._memo.put(key, timed)
                self._found[key] = _Found(timed, remembered=False)

    def _measured(self, pairs: Sequence[Pair]) -> Iterator[tuple[str, Timed]]:
        clock = Clock([self._device])
        with torch.inference_mode(mode=False), torch.no_grad(), alone(), same_random(clock):
            works = [pairs[0].before.ready(self._device, self._known)]
            sound = []
            for pair in pairs:
                work = pair.after.ready(self._device, self._known)
                error = _failure(pair, works[0], work)
                if error is None:
                    sound.append(pair)
                    works.append(work)
                else:
                    self._failed[pair.key] = error
            rows = _rounds(works, clock, self._seconds) if sound else [[0.0]]
        before_s = statistics.median(rows[0])
        for pair, row in zip(sound, rows[1:], strict=True):
            change_s, error_s = paired(row, rows[0])
            after_s = max(before_s + change_s, 0.0)
            yield pair.key, Timed(before_s=before_s, after_s=after_s, error_s=error_s, repeats=len(row))


def _never() -> None:
    """Stop nothing."""


def _sound(found: LatencyChange | EffError) -> LatencyChange:
    if isinstance(found, EffError):
        raise found
    return found


def _failure(pair: Pair, *works: Callable[[], object]) -> EffError | None:
    # Why one of the two sides cannot be run alone; a first run of both.
    for work, when in zip(works, ("now", "after the step"), strict=True):
        try:
            work()
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001  the module's own forward
            text = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
            return TransformError(f"{pair.layer or 'The model itself'} cannot be run alone, {when}: {text}.")
    return None


def _rounds(works: Sequence[Callable[[], object]], clock: Clock, seconds: float) -> list[list[float]]:
    # As `stopwatch.times_of`, with fewer rounds and shorter samples: there are many pieces, and they add up.
    drawn, order = random.Random(0), list(range(len(works)))  # noqa: S311  the order of measurements, not a secret
    once = []
    for work in works:
        work()
        once.append(_sample(work, 1, clock))
    repeats = [max(1, min(200, round(_SAMPLE_S / max(spent, 1e-7)))) for spent in once]
    fewest = _FEWEST if sum(once) < _SLOW_S else _FEWEST_SLOW
    rows: list[list[float]] = [[] for _ in works]
    start = time.perf_counter()
    for done in range(_MOST):
        if done >= fewest and time.perf_counter() - start > seconds * len(works):
            break
        drawn.shuffle(order)
        for number in order:
            rows[number].append(_sample(works[number], repeats[number], clock))
    return rows


def _sample(work: Callable[[], object], repeats: int, clock: Clock) -> float:
    def run() -> None:
        for _ in range(repeats):
            work()

    if clock.on_cpu and torch.get_num_threads() == 1:
        start = time.thread_time()  # others on the machine disturb it least
        run()
        return (time.thread_time() - start) / repeats
    return clock.time(run) / repeats
