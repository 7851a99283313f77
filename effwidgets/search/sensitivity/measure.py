"""Sensitivity: every place with a series of settings, each applied alone, repaired and measured."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, Inputs, as_call, batch_of
from effwidgets.profiling.profile import ProfileOptions
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Profile, Score, Sensitivity, SensitivityPoint, SensitivityProgress, Skip, Step
from effwidgets.search.sensitivity.bench import Bench
from effwidgets.search.sensitivity.digests import digest_of_data, digest_of_model
from effwidgets.search.sensitivity.journal import Journal, read_sensitivity, with_points
from effwidgets.search.sensitivity.options import SensitivityOptions
from effwidgets.search.sensitivity.parts import parts_of
from effwidgets.search.sensitivity.series import Series, series_of
from effwidgets.transforms.asking import asking
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.sound import check_answers, check_calibration
from effwidgets.transforms.trial import quiet_random

__all__ = ["sensitivity"]

_WORK, _FEWEST, _MOST = 1e10, 32, 512  # multiplications of one forward of all samples; samples


def sensitivity(  # noqa: PLR0913  a verb of the package: all but two have a default
    model: nn.Module,
    inputs: Inputs,
    *,
    options: SensitivityOptions | None = None,
    check: Callable[[], None] | None = None,
    known: Sensitivity | None = None,
    origin: str = "",
) -> Sensitivity:
    """Measure how much the outputs, and the score, suffer from each setting of each technique at each place.

    Each setting is applied alone to a private copy that shares the model's tensors, fitted to one part of the
    calibration data, repaired as `apply` repairs it, and run on the other part. Points come place by place.

    A setting of a ResNet-18 at 64 x 64 runs 11 to 18 forwards, of the part that is fitted to but for one, most of which
    begin behind what is remembered: measured in processor time it takes as long as 9 to 21 plain forwards of that part
    (the widest layers most, whose fits take longer than their forwards), and `apply` of the same step 20 to 22.

    Args:
        model: any module; it is not changed.
        inputs: what it is called with, as for `profile`.
        options: places, settings, data, score, and where to keep the points.
        check: called before each forward; what it raises ends the work.
        known: an earlier record: gone on with where it fits, else left alone.
        origin: name of the session that asks.

    Returns:
        A `Sensitivity`; its ``options`` are what selections choose among.

    Raises:
        InputError: a record or file to go on with that is of another model or was measured otherwise.
        UnknownNameError: a family, technique or layer that there is not.
        ModelError: the model's forward fails.
        SearchError: the file cannot be written any more, or ``evaluate`` gives no number for the model as it is.
        Cancelled: ``check`` raised it. An error that ends the work, Ctrl-C too, has what was measured in its attribute
            ``partial``.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> found = sensitivity(model, torch.eye(64), options=SensitivityOptions(levels=2))
        >>> found.complete, len(found.points) == sum(row.planned for row in found)
        (True, True)
    """
    options = options or SensitivityOptions()
    call = as_call(inputs)
    check_module(model)
    with quiet_random():  # a loader that shuffles draws from the state of the whole process
        data = calibration_of(options.calibration, like=call)
    check_answers(model, call)
    if data is not None:
        check_calibration(model, data, call)
    started = time.perf_counter()
    profile = profile_model(model, call, options=ProfileOptions(second_opinion=True))
    series, skips = series_of(profile, options)
    with asking(check):
        samples = options.samples or _affordable(profile, call)
        parts = parts_of(model, call, data, samples=samples, share=options.held_out)
        bench = Bench(model, profile, parts, options)
        empty = Sensitivity(
            model=type(model).__name__,
            cost=profile.cost,
            divergence=bench.gauge.kind,
            better=options.better,
            rows=tuple(one.row for one in series),
            skips=tuple(skips),
            fitted=parts.fitted,
            held_out=parts.held_out,
            notes=parts.notes,
            model_digest=digest_of_model(model),
            data_digest=digest_of_data(
                ((call,), () if parts.fit is None else parts.fit.batches, parts.held),
                *(options.repair, options.gauge, bench.gauge.kind),
            ),
            origin=origin,
        )
    run = _Run(bench=bench, series=series, options=options, started=started, empty=empty)
    if known is not None and _digests(known) == _digests(empty):
        run.take(known)
    return run.whole(check)


def _affordable(profile: Profile, call: Call) -> int:
    # A setting takes some ten forwards of them.
    each = profile.cost.macs / (batch_of(call) or 1)
    return int(min(max(_WORK / max(each, 1.0), _FEWEST), _MOST))


def _digests(found: Sensitivity) -> tuple[str, str]:
    return found.model_digest, found.data_digest


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    # What was measured so far, and where it is kept.
    bench: Bench
    series: Sequence[Series]
    options: SensitivityOptions
    started: float
    empty: Sensitivity
    points: dict[Step, SensitivityPoint] = field(default_factory=dict)
    before: float = 0.0  # seconds of earlier runs
    base: tuple[Score, ...] = ()
    journal: Journal | None = None
    new: set[Step] = field(default_factory=set)  # measured in this run
    took: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # seconds, by technique
    times: Counter[str] = field(default_factory=Counter)

    def whole(self, check: Callable[[], None] | None) -> Sensitivity:
        """Measure what is missing; what ends it carries what there is."""
        self._go_on()
        # Place by place: the settings of one follow each other.
        missing = [point for one in self.series for point in one.points if not self._done(point.step)]
        try:
            with asking(check):
                if missing:
                    self._score_base()
                if self.journal is not None:
                    self.journal.begin(self.record())
                with self.bench.at([point.step for point in missing]):
                    for point in missing:
                        self._measure(point)
        except BaseException as error:
            vars(error)["partial"] = self.record()
            raise
        self._tell(None)
        return self.record()

    def record(self) -> Sensitivity:
        """Return what there is so far."""
        missing = sum(not self._done(point.step) for one in self.series for point in one.points)
        found = replace(self.empty, base=self.base, seconds=self.before + time.perf_counter() - self.started)
        found = with_points(found, self.points.values())
        skips = (*found.skips, *_lost(found)) if not missing else found.skips
        return replace(found, complete=not missing, skips=skips)

    def _go_on(self) -> None:
        options = self.options
        if options.path is not None:
            self.journal = Journal(options.path)
        held = self.journal.earlier if self.journal is not None else None
        given = options.resume if isinstance(options.resume, Sensitivity | None) else read_sensitivity(options.resume)
        for earlier, name in ((given, "The record to go on with"), (held, str(options.path))):
            if earlier is None:
                continue
            self._check(earlier, name)
            self.take(earlier)

    def take(self, earlier: Sensitivity) -> None:
        """Take over what an earlier run measured."""
        self.points |= {point.step: point for point in earlier.points}
        self.base = earlier.base or self.base
        self.before = max(self.before, earlier.seconds, sum(point.seconds for point in earlier.points))

    def _check(self, earlier: Sensitivity, name: str) -> None:
        for what, one, other in (
            (f"another {self.empty.model}, or with other values", earlier.model_digest, self.empty.model_digest),
            ("other inputs or calibration data, or measured otherwise", earlier.data_digest, self.empty.data_digest),
        ):
            if one != other:
                raise InputError(
                    f"{name} is of {what}: it holds a {earlier.model} with {len(earlier.points)} points, measured on "
                    f"{earlier.held_out} samples. Name another file, or leave it out to begin anew."
                )

    def _done(self, step: Step) -> bool:
        point = self.points.get(step)
        if point is None or (point.note and self.options.retry and step not in self.new):
            return False
        return self.options.evaluate is None or bool(point.scores) or bool(point.note)

    def _score_base(self) -> None:
        # Also when going on: another function would give other scores.
        found = self.bench.base()
        if found and self.base and self.base[0] != found[0]:
            if self.base[0].metric != found[0].metric:
                raise InputError(
                    f"The record to go on with is scored by {self.base[0].metric!r}, and evaluate gives "
                    f"{found[0].metric!r}. Leave the record out to begin anew."
                )
            note = f"The model as it is scored {self.base[0].value:g} earlier and {found[0].value:g} when going on."
            self.empty = replace(self.empty, notes=(*self.empty.notes, note))
        self.base = self.base or found

    def _measure(self, point: SensitivityPoint) -> None:
        self._tell(point.step)
        start = time.perf_counter()
        found = self.bench.measure(point, self.base[0].metric if self.base else None)
        took = time.perf_counter() - start
        found = replace(found, seconds=took)
        self.points[point.step] = found
        self.new.add(point.step)
        self.took[point.step.transform] += took
        self.times[point.step.transform] += 1
        if self.journal is not None:
            self.journal.add(found)

    def _tell(self, step: Step | None) -> None:
        if self.options.progress is None:
            return
        left = [point.step.transform for one in self.series for point in one.points if not self._done(point.step)]
        planned = sum(len(one.points) for one in self.series)
        self.options.progress(
            SensitivityProgress(
                done=planned - len(left),
                planned=planned,
                step=step,
                seconds=time.perf_counter() - self.started,
                seconds_left=self._seconds(left),
            )
        )

    def _seconds(self, left: Sequence[str]) -> float | None:
        # Of a technique that was not seen yet: the mean of all.
        if not left:
            return 0.0
        count = sum(self.times.values())
        if not count:
            return None
        mean = sum(self.took.values()) / count
        return sum(self.took[name] / self.times[name] if self.times[name] else mean for name in left)


def _lost(found: Sensitivity) -> list[Skip]:
    # Places where not one setting could be measured.
    return [
        Skip(transform=row.transform, layers=row.layers, reason=f"it could not be tried: {row.points[0].note}")
        for row in found.rows
        if row.points and all(point.divergence is None and point.note for point in row.points)
    ]
