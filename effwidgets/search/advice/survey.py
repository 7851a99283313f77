"""Every place with a few settings, each tried alone and measured: what advice and ladders are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.errors import Cancelled, EffError, UnknownNameError
from effwidgets.metrics.cost import amount
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import ProfileOptions
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.records import Cost, Option, Plan, Profile, Skip, Step
from effwidgets.search.advice.measure import Bench
from effwidgets.search.advice.places import Place, change_of, places_of, step_at
from effwidgets.search.engine.runner import failure_text
from effwidgets.transforms.apply import hypothetical
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.factorize.spectrum import remembered

if TYPE_CHECKING:
    from effwidgets.transforms.calibration import Calibration

__all__ = ["GOALS", "MOST_FORWARDS", "Survey", "amount_now", "merit", "survey"]

GOALS = ("macs", "params", "param_bytes", "inference_peak_bytes", "saved_bytes")
"""What can be saved. The last two are no sums of layers: for them every step is profiled, with one setting a place."""

MOST_FORWARDS = 160
"""So many forwards are spent on trials at most: a ResNet-18 with all its settings takes fewer."""

_MEMORY = ("inference_peak_bytes", "saved_bytes")
_DOUBT = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found: the model's profile, the options that were measured, and what was left alone."""

    goal: str
    profile: Profile
    options: tuple[Option, ...]
    skips: tuple[Skip, ...]


def merit(saving: float, error: float | None) -> float:
    """Return what a step is worth: the share that it saves over the output error it costs, ``saving / (0.02 + error)``.

    The 0.02 says that errors below 2% are not told apart; so a large saving at a small error comes before a tiny one
    at none. An error that could not be measured counts as 1.

    >>> merit(0.2, 0.08) > merit(0.01, 0.0), merit(0.2, 0.08) > merit(0.3, 0.6)
    (True, True)
    """
    return saving / (_DOUBT + (1.0 if error is None else error))


def amount_now(goal: str, profile: Profile) -> int:
    """Return how much of the goal the model takes; unknown goals are answered with the known ones."""
    if goal not in GOALS:
        raise UnknownNameError("goal", goal, GOALS)
    return amount(goal, profile.cost, profile.memory)


def survey(
    model: nn.Module,
    call: Call,
    *,
    goal: str = "macs",
    calibration: Calibration | None = None,
    check: Callable[[], None] | None = None,
) -> Survey:
    """Try every place with a few settings, each alone, one forward each, and measure how far the outputs move.

    What would save nothing is not tried: that is arithmetic. Where the trials would take more than `MOST_FORWARDS`
    forwards, each place is tried with one setting, and then the places that save least are left out.

    Raises:
        UnknownNameError: no such goal.
        ModelError: the model's forward fails.
        Cancelled: ``check``, which is called before each trial, raised it.
    """
    if goal not in GOALS:
        raise UnknownNameError("goal", goal, GOALS)
    profile = profile_model(model, call, options=ProfileOptions(second_opinion=True))
    places, skips = places_of(profile)
    aim = _Aim(model, call, goal, profile)
    bench = Bench(model, call, profile, calibration)
    wanted, nothing = aim.options(places, check or _go_on)
    wanted, small = _affordable(wanted, MOST_FORWARDS // bench.forwards - 1, goal)
    options, lost = _tried(bench, wanted, check or _go_on)
    return Survey(goal=goal, profile=profile, options=tuple(options), skips=(*skips, *nothing, *small, *lost))


def _go_on() -> None:
    pass


def _tried(bench: Bench, wanted: list[Option], check: Callable[[], None]) -> tuple[list[Option], list[Skip]]:
    options: list[Option] = []
    failed: dict[tuple[str, tuple[str, ...]], str] = {}
    # The settings of a place follow each other, and decompose one weight; the inputs of all are measured at once.
    layers = dict.fromkeys(name for option in wanted for name in option.step.layers)
    with remembered(), bench.prepared(tuple(layers)):
        for option in wanted:
            check()
            try:
                found = bench.measure(TRANSFORMS[option.step.transform], option.step)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001  a plug-in, or the changed model
                failed[option.site] = failure_text(error)
            else:
                options.append(replace(option, error=found.error, energy=found.energy))
    measured = {option.site for option in options}
    return options, [
        Skip(transform=site[0], layers=site[1], reason=f"it could not be tried: {text}")
        for site, text in failed.items()
        if site not in measured
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Aim:
    # The goal at one model: what a step would save of it.
    model: nn.Module
    call: Call
    goal: str
    profile: Profile

    def options(self, places: list[Place], check: Callable[[], None]) -> tuple[list[Option], list[Skip]]:
        """Return the settings that save something, and a skip for each place where none does."""
        options: list[Option] = []
        nothing: list[Skip] = []
        for place in places:
            found = list(self._at(place, check))
            options += found
            if not found:
                site = place.site
                nothing.append(Skip(transform=site.transform, layers=site.layers, reason=self._useless()))
        return options, nothing

    def _at(self, place: Place, check: Callable[[], None]) -> Iterator[Option]:
        fractions = place.fractions()
        if self.goal in _MEMORY:
            fractions = (fractions[len(fractions) // 2],)
        now = amount_now(self.goal, self.profile)
        for step in dict.fromkeys(step_at(place, fraction) for fraction in fractions):
            check()
            change = change_of(self.profile, step)
            saved = 0 if change is None else self._saved(step, change)
            if change is not None and saved > 0:
                family, said = place.transform.family, place.site.reason
                yield Option(step=step, family=family, change=change, saving=saved / now, found=said)

    def _saved(self, step: Step, change: Cost) -> int:
        if self.goal not in _MEMORY:
            return -int(getattr(change, self.goal))
        try:
            after = hypothetical(self.model, Plan(steps=(step,)), self.call, known=self.profile, backward=False)
        except EffError:  # a step that cannot even be laid out saves nothing
            return 0
        return amount_now(self.goal, self.profile) - amount_now(self.goal, after)

    def _useless(self) -> str:
        if self.goal == "inference_peak_bytes":
            where = self.profile.memory.inference_peak_at or "the model itself"
            return f"it does not lower the inference peak, which is at {where}"
        return f"none of the settings tried saves {self.goal}"


def _affordable(options: list[Option], most: int, goal: str) -> tuple[list[Option], list[Skip]]:
    if len(options) <= most:
        return options, []
    middle: dict[tuple[str, tuple[str, ...]], list[Option]] = {}
    for option in options:
        middle.setdefault(option.site, []).append(option)
    single = [tried[len(tried) // 2] for tried in middle.values()]
    single.sort(key=lambda option: -option.saving)
    small = [
        Skip(
            transform=option.step.transform,
            layers=option.step.layers,
            reason=f"not tried: it would save {option.saving:.2%} of {goal}, and others save more",
        )
        for option in single[most:]
    ]
    return single[:most], small
