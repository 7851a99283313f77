"""Bring an edited model back towards the original: layer by layer, then the batch norms."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.records import Edit, Refit, Repaired
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.repair.batch_norm import renew
from effwidgets.transforms.repair.bias import bias_change
from effwidgets.transforms.repair.least_squares import Change, best_change
from effwidgets.transforms.repair.looking import Spot, spots_of
from effwidgets.transforms.repair.outputs import Reference, quick_reference
from effwidgets.transforms.repair.passes import Aims, Found, aims_of, sums_of
from effwidgets.transforms.repair.remembered import Remembered
from effwidgets.transforms.repair.units import STEPS, asked_of, units_of
from effwidgets.transforms.repair.values import Written, takes_bias
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.trial import stand_in

__all__ = ["repair"]

_ROUNDS: Final = 4  # for a layer that runs several times
_KEPT_BYTES: Final = 2**28  # of what the original makes, at a time


def repair(  # noqa: PLR0913  two models, what lies between them, the data, and two choices
    model: nn.Module,
    original: nn.Module,
    edits: Sequence[Edit],
    calibration: Calibration,
    *,
    steps: Collection[str] | None = None,
    check: Callable[[], None] | None = None,
    since: int = 0,
) -> Repaired:
    """Give layers of ``model`` new values, in place, so that it answers more like ``original``. No labels are needed.

    "least_squares": each layer that reads pruned channels, and the last factor of each that was split, is fitted so
    that its outputs are those of the original at the same place, in forward order, from what it is given in the edited
    model as repaired so far (He et al. 2017, arXiv:1707.06168). Where it writes into a residual sum, the sum is aimed
    at, so that it makes up for what the other branch lost too. A quarter of the samples is not fitted to: it chooses
    how strongly the old weights hold, and whether the new ones are taken at all.

    "bias": where no weight is fitted, the mean of what is missing goes into the bias of the same layers.

    "batch_norm": last of all, statistics are estimated anew; see `reestimate_batch_norm`.

    What raises the error of the outputs is put back, and a note says so. Frozen weights get new values too and stay
    frozen; weights that are tied, parametrized or quantized stay as they are.

    Args:
        model: the edited model; its weights and statistics are written into, nothing else of it changes.
        original: what it was before all of the edits; not changed.
        edits: what was done, in order.
        calibration: the data.
        steps: which kinds of repair; those that the transformation of each edit names in ``repairs`` unless given.
        check: called between the layers; what it raises ends the work.
        since: so many of the first edits were repaired after before: what they ask for is not done again.

    Raises:
        UnknownNameError: a kind of repair that there is not.

    >>> import torch
    >>> from effwidgets import Plan, Step, apply, settings
    >>> from effwidgets.transforms.calibration import calibration_of
    >>> dense = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> plan = Plan(steps=(Step(transform="channel_prune", layers=("0",), settings=settings(channels=6)),))
    >>> made, data = apply(dense, plan, torch.zeros(1, 4)), calibration_of(torch.randn(256, 4))
    >>> found = repair(made.model, dense, made.edits, data, steps=["least_squares"])
    >>> found.error_after <= found.error_before
    True
    """
    started = time.perf_counter()
    _known(steps)
    wanted = frozenset[str]().union(*(asked_of(edit, steps) for edit in edits[since:]))
    if not wanted:
        return Repaired(seconds=time.perf_counter() - started)
    work = _Work(model, original, calibration.batches, check or _nothing)
    before = work.whole.of_twin(work.twin)
    units, notes = units_of(model, original, edits, steps, since=since)
    if units:
        work.fit(spots_of((work.twin, work.dense), units, work.batches))
    after = work.settle(before) if work.written else before
    done = [step for step in STEPS if any(refit.step == step and refit.kept for refit in work.refits)]
    said = [*_summary(work.refits, (before, after)), *notes, *work.notes]
    if "batch_norm" in wanted:
        work.check()
        renewed = renew(model, calibration, work.whole, after)
        after = renewed.error
        done += ["batch_norm"] * renewed.done
        said += [renewed.note] * bool(renewed.note)
    return Repaired(
        steps=tuple(done),
        error_before=before,
        error_after=after,
        seconds=time.perf_counter() - started,
        notes=tuple(said),
        refits=tuple(work.refits),
    )


def _nothing() -> None:
    pass


def _known(steps: Collection[str] | None) -> None:
    if isinstance(steps, str):
        raise InputError(f"steps is the text {steps!r}; a list of names was expected: steps=[{steps!r}].")
    for step in steps or ():
        if step not in STEPS:
            raise UnknownNameError("kind of repair", step, STEPS)


@dataclass(slots=True, eq=False)
class _Work:
    # The edited model, its stand-in (of the same parameters), and what was written into both.
    model: nn.Module
    original: nn.Module
    batches: tuple[Call, ...]
    check: Callable[[], None]
    twin: nn.Module = field(init=False)
    dense: nn.Module = field(init=False)
    whole: Reference = field(init=False)
    refits: list[Refit] = field(default_factory=list)
    written: list[tuple[int, Written]] = field(default_factory=list)
    suspects: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.twin, self.dense = stand_in(self.model), stand_in(self.original)
        self.whole = Reference(self.original, self.batches)

    def fit(self, spots: Sequence[Spot]) -> None:
        quick, remembered = quick_reference(self.original, self.batches[0]), Remembered()
        error = quick.of_twin(self.twin)
        for some in _portions(self.twin, spots):
            self.check()
            aims = aims_of(self.dense, some, self.batches)
            for wave in _waves(some):
                if self._fit_wave(wave, aims, remembered):
                    now = quick.of_twin(self.twin)
                    if error is not None and now is not None and not now <= error:
                        self.suspects.append(len(self.written) - 1)
                    error = now

    def _fit_wave(self, wave: Sequence[Spot], aims: dict[str, list[list[Aims]]], remembered: Remembered) -> bool:
        # What runs several times is given, in its later calls, what its own new values make of the earlier ones.
        fresh = False
        for again in range(_ROUNDS if wave[0].calls > 1 else 1):
            self.check()
            sums = sums_of((self.twin, remembered), wave, aims, self.batches)
            found = [self._fit(spot, sums[spot.unit.layer], again) for spot in wave if spot.unit.layer in sums]
            if not any(found):
                break
            fresh = True
        return fresh

    def _fit(self, spot: Spot, found: Found, again: int) -> bool:
        rows = found.seen.rows + found.unseen.rows
        if not found.seen.rows or not found.unseen.rows:
            few = f"the calibration data give it {rows} row{'s' * (rows != 1)}; more batches or samples are needed"
            self.notes.append(f"{spot.unit.layer} was not fitted again: {few}.")
            return False
        step, change = _change(spot, found, bias=takes_bias(self.twin, spot))
        if change is not None:
            written = Written((self.twin, self.model), spot, change)
            if not again:
                self.written.append((len(self.refits), written))
        if not again:
            self.refits.append(_refit(spot, found, step, change))
        elif change is not None:
            self.refits[-1] = replace(self.refits[-1], after=_refit(spot, found, step, change).after)
        return change is not None

    def settle(self, before: float | None) -> float | None:
        # Put back what the outputs are better off without.
        after = self.whole.of_twin(self.twin)
        for place in reversed(self.suspects):
            self.check()
            after = self._without([place], after)
        worse = before is not None and not (after is not None and after <= before)
        standing = [place for place, (refit, _) in enumerate(self.written) if self.refits[refit].kept]
        return self._without(standing, after) if worse else after

    def _without(self, places: Sequence[int], error: float | None) -> float | None:
        # The error with these put back, if that is not larger; else they stand again.
        for place in places:
            self.written[place][1].swap()
        left = self.whole.of_twin(self.twin)
        if error is not None and left is not None and not left <= error:
            for place in places:
                self.written[place][1].swap()
            return error
        for place in places:
            number = self.written[place][0]
            self.refits[number] = replace(self.refits[number], kept=False)
        return left


def _refit(spot: Spot, found: Found, step: Literal["least_squares", "bias"], change: Change | None) -> Refit:
    aimed = found.unseen.aimed
    before, after = (found.unseen.left(each, found.scale) for each in (None, change))
    return Refit(
        layer=spot.unit.layer,
        step=step,
        rows=found.seen.rows + found.unseen.rows,
        before=math.sqrt(before / aimed) if aimed else None,
        after=math.sqrt(after / aimed) if aimed else None,
        kept=change is not None,
    )


def _summary(refits: Sequence[Refit], errors: tuple[float | None, float | None]) -> Iterator[str]:
    before, after = errors
    for step, what in (("least_squares", "by least squares"), ("bias", "in the bias alone")):
        asked = [refit for refit in refits if refit.step == step]
        kept = [refit for refit in asked if refit.kept]
        if kept:
            count = f"{len(kept)} layer{'s were' if len(kept) > 1 else ' was'}"
            whole = "" if before is None or after is None else f": output error {before:.3g} before, {after:.3g} after"
            yield f"{count} fitted again {what}{whole}."
        lost = [refit for refit in asked if not refit.kept]
        back = [
            refit.layer for refit in lost if refit.before and refit.after is not None and refit.after < refit.before
        ]
        for layers, why in (
            ([refit.layer for refit in lost if refit.layer not in back], "an error on data they were not fitted to"),
            (back, "the error of the outputs"),
        ):
            if layers:
                some = ", ".join(layers[:4]) + (f" and {len(layers) - 4} more" if len(layers) > 4 else "")
                yield f"{some}: as before, because new values {what} would raise {why}."


def _change(spot: Spot, found: Found, *, bias: bool) -> tuple[Literal["least_squares", "bias"], Change | None]:
    change = None
    if "least_squares" in spot.unit.steps:
        change = best_change(found.seen, found.unseen, found.scale, bias=bias)
    if change is not None or "bias" not in spot.unit.steps or not bias:
        return ("least_squares" if "least_squares" in spot.unit.steps else "bias"), change
    return "bias", bias_change(found.seen, found.unseen, found.scale)


def _portions(twin: nn.Module, spots: Sequence[Spot]) -> Iterator[list[Spot]]:
    # What of the original is kept at a time.
    some: list[Spot] = []
    size = 0
    for spot in spots:
        module = find_layer(twin, spot.unit.layer)
        out = int(getattr(module, "out_features", 0) or getattr(module, "out_channels", 0))
        need = spot.rows * spot.calls * out * 4
        if some and size + need > _KEPT_BYTES:
            yield some
            some, size = [], 0
        some.append(spot)
        size += need
    if some:
        yield some


def _waves(spots: Sequence[Spot]) -> Iterator[list[Spot]]:
    # Those that read the same tensor do not change what the others are given.
    wave: list[Spot] = []
    for spot in spots:
        if wave and not spot.shared:
            yield wave
            wave = []
        wave.append(spot)
    if wave:
        yield wave
