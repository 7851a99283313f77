"""Every place with a few settings, each tried alone and measured: what advice and ladders are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from torch import nn

from effwidgets.errors import Cancelled, EffError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import ProfileOptions
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.records import Cost, Option, Plan, Profile, Skip, Step
from effwidgets.search.advice.afford import affordable, trials_for
from effwidgets.search.advice.goals import ADDED, GOALS, LATENCY, SENT, amount_now, as_goal, merit
from effwidgets.search.advice.measure import Bench
from effwidgets.search.advice.places import Place, change_of, holders, places_of, step_at
from effwidgets.search.advice.words import no_faster
from effwidgets.search.clocks.pieces import Pieces
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.factorize.spectrum import remembered
from effwidgets.transforms.hypothetical import Drafts
from effwidgets.transforms.sound import what_failed

if TYPE_CHECKING:
    from effwidgets.transforms.calibration import Calibration

__all__ = ["GOALS", "Survey", "also", "amount_now", "merit", "survey"]

SiteName: TypeAlias = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found.

    Attributes:
        goal: what is to be saved.
        profile: of the model; with its time where the goal is time.
        options: what was measured.
        skips: what was left alone, and why.
        warned: by site, what its technique says against it.
    """

    goal: str
    profile: Profile
    options: tuple[Option, ...]
    skips: tuple[Skip, ...]
    warned: Mapping[SiteName, tuple[str, ...]] = field(default_factory=dict)


def survey(  # noqa: PLR0913  all but two have a default
    model: nn.Module,
    call: Call,
    *,
    goal: str = "macs",
    calibration: Calibration | None = None,
    check: Callable[[], None] | None = None,
    profile: Profile | None = None,
    pieces: Pieces | None = None,
) -> Survey:
    """Try every place with a few settings, each alone, one forward each, and measure how far the outputs move.

    What would save nothing is not tried: that is arithmetic, or, where the goal is time, a measurement of the pieces.
    Where the trials would be more than `trials_for` the model, each place is tried with one setting, the best ones with
    the others too, and where that is too much, of places that are alike some (`affordable`).

    Args:
        model: as it is; it is not changed.
        call: what it is called with.
        goal: what to save; see `goals.GOALS`.
        calibration: real inputs.
        check: called before each trial.
        profile: of the model with the call, with groups and a second opinion, where it is at hand.
        pieces: to measure times with, where the goal is time; made when it is None.

    Raises:
        UnknownNameError: no such goal.
        ModelError: the model's forward fails.
        Cancelled: ``check``, which is called before each trial, raised it.
    """
    goal, check = as_goal(goal), check or _go_on
    known = profile or profile_model(model, call, options=ProfileOptions(second_opinion=True))
    places, skips = places_of(known, goal=goal)
    if goal == LATENCY:
        pieces = pieces or Pieces(model, call, known, check=check)
        known = replace(known, latency=pieces.whole())
    aim = _Aim(Drafts(model, call, known=known), goal, known)
    bench = Bench(model, call, known, calibration)
    wanted, nothing = aim.options(places, check)
    if pieces is not None and goal == LATENCY:
        wanted, slow = _quicker(pieces, wanted)
        nothing += slow
    paid = affordable(wanted, trials_for(known) // bench.forwards - 1, known, goal)
    with bench.prepared(tuple(dict.fromkeys(name for option in wanted for name in option.step.layers))):
        options, lost = _tried(bench, paid.first, aim, check)
        options.sort(key=lambda option: -merit(option.saving, option.error))
        more, again = _tried(bench, paid.second([option.site for option in options]), aim, check)
    found = {option.step: option for option in (*options, *more)}
    lost += [skip for skip in again if (skip.transform, skip.layers) not in {option.site for option in options}]
    return Survey(
        goal=goal,
        profile=known,
        options=tuple(found[option.step] for option in wanted if option.step in found),
        skips=(*skips, *nothing, *paid.skips, *lost),
        warned={(place.site.transform, place.site.layers): place.site.warnings for place in places},
    )


def also(
    model: nn.Module, call: Call, found: Survey, steps: Sequence[Step], tools: tuple[Calibration | None, Pieces | None]
) -> list[Option]:
    """Try more settings at places of a survey, each alone; what saves nothing or cannot be tried is left out.

    Args:
        model: as it is; it is not changed.
        call: what it is called with.
        found: the survey.
        steps: one for each place.
        tools: real inputs, and what times pieces: those that the survey was given.
    """
    calibration, pieces = tools
    aim = _Aim(Drafts(model, call, known=found.profile), found.goal, found.profile)
    known = {option.site: option for option in found.options}
    wanted = []
    for step in steps:
        first = known[step.transform, step.layers]
        option = aim.option(step, first.family, first.found)
        if option is not None:
            wanted.append(option)
    if pieces is not None and found.goal == LATENCY:
        wanted, _ = _quicker(pieces, wanted)
    bench = Bench(model, call, found.profile, calibration)
    with bench.prepared([name for option in wanted for name in option.step.layers]):
        return _tried(bench, wanted, aim, _go_on)[0]


def _go_on() -> None:
    pass


def _quicker(pieces: Pieces, wanted: list[Option]) -> tuple[list[Option], list[Skip]]:
    # Those that were measured to be faster, and what was measured of the sites where none is.
    options: list[Option] = []
    slow: dict[SiteName, str] = {}
    for option, found in zip(wanted, pieces.tried(option.step for option in wanted), strict=True):
        if isinstance(found, EffError):
            slow[option.site] = f"its time could not be measured: {what_failed(found)}"
        elif found.faster:
            options.append(replace(option, saving=-found.share, latency=found))
        else:
            slow[option.site] = no_faster(found)
    left = slow.keys() - {option.site for option in options}
    return options, [Skip(transform=site[0], layers=site[1], reason=slow[site]) for site in slow if site in left]


def _tried(bench: Bench, wanted: list[Option], aim: _Aim, check: Callable[[], None]) -> tuple[list[Option], list[Skip]]:
    options: list[Option] = []
    failed: dict[SiteName, str] = {}
    # The settings of a place follow each other, and decompose one weight.
    with remembered():
        for option in wanted:
            check()
            try:
                found = bench.measure(TRANSFORMS[option.step.transform], option.step)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001  a plug-in, or the changed model
                failed[option.site] = what_failed(error)
                continue
            saving = option.saving if found.sent_bytes is None else found.sent_bytes / aim.now
            if saving > 0:
                options.append(replace(option, error=found.error, energy=found.energy, saving=saving))
            else:
                failed[option.site] = aim.useless()
    measured = {option.site for option in options}
    return options, [
        Skip(
            transform=site[0],
            layers=site[1],
            reason=f"it could not be tried: {text}" if text != aim.useless() else text,
        )
        for site, text in failed.items()
        if site not in measured
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Aim:
    # The goal at one model: what a step would save of it.
    drafts: Drafts
    goal: str
    profile: Profile

    @property
    def now(self) -> float:
        return amount_now(self.goal, self.profile)

    def options(self, places: list[Place], check: Callable[[], None]) -> tuple[list[Option], list[Skip]]:
        """Return the settings that save something, and a skip for each place where none does."""
        options: list[Option] = []
        nothing: list[Skip] = []
        for place in places:
            found = list(self._at(place, check))
            options += found
            if not found:
                site = place.site
                nothing.append(Skip(transform=site.transform, layers=site.layers, reason=self.useless()))
        return options, nothing

    def _at(self, place: Place, check: Callable[[], None]) -> Iterator[Option]:
        fractions = place.fractions()
        if self.goal not in (*ADDED, SENT, LATENCY):  # each setting is profiled
            fractions = (fractions[len(fractions) // 2],)
        for step in dict.fromkeys(step_at(place, fraction) for fraction in fractions):
            check()
            option = self.option(step, place.transform.family, place.site.reason)
            if option is not None and (option.saving > 0 or self._is_told_later(place)):
                yield option

    def option(self, step: Step, family: str, reason: str) -> Option | None:
        """Return what arithmetic says of a step; None where it cannot be done."""
        change = change_of(self.profile, step)
        if change is None:
            return None
        unit = tuple(sorted(holders(self.profile, step)))
        return self._saved(Option(step=step, family=family, unit=unit, change=change, saving=0.0, found=reason), change)

    def _is_told_later(self, place: Place) -> bool:
        # Time is measured, and so is what codes make of a weight.
        return self.goal == LATENCY or (self.goal == SENT and place.transform.phase == "format")

    def _saved(self, option: Option, change: Cost) -> Option:
        if self.goal == LATENCY:
            return option
        if self.goal in (*ADDED, SENT):
            field = "param_bytes" if self.goal == SENT else self.goal
            return replace(option, saving=-int(getattr(change, field)) / max(1, self.now))
        try:
            plan = Plan(steps=(option.step,))
            backward = self.goal == "training_peak_bytes"
            after = self.drafts.profile(plan, backward=backward)
            saved = self.now - amount_now(self.goal, after)
        except EffError:  # a step that cannot even be laid out saves nothing
            return option
        memory = after.memory if saved > 0 else None
        return replace(option, saving=saved / self.now if self.now > 0 else 0.0, memory_after=memory)

    def useless(self) -> str:
        """Say that nothing is saved at a place."""
        if self.goal == "inference_peak_bytes":
            where = self.profile.memory.inference_peak_at or "the model itself"
            return f"it does not lower the inference peak, which is at {where}"
        return f"none of the settings tried saves {self.goal}"
