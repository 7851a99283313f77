"""How much of each budgeted cost a plan will take: by arithmetic where it can be counted, else from timed pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from torch import nn

from effwidgets.errors import EffError, InputError, UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.metrics.cost import amount
from effwidgets.profiling.calls import Call
from effwidgets.records import Option, Plan, Profile, Step
from effwidgets.search.clocks.pieces import Pieces
from effwidgets.search.fronts.axes import AXES, LATENCY, SHORT, full_name, known_costs
from effwidgets.search.selection.budget import limit_of
from effwidgets.transforms.apply import LEFT_OUT, hypothetical
from effwidgets.transforms.foresee import foresee

__all__ = ["Scales", "axis_named", "with_latency"]

_SUMS: Final = frozenset({"macs", "params", "param_bytes"})
_LEAST: Final = 0.01  # of the time: what pieces say they save together can be more than there is


def axis_named(name: str) -> str:
    """Return the full name of a budgeted cost: ``bytes`` is ``param_bytes``, ``peak_bytes`` the inference peak.

    Raises:
        UnknownNameError: no such cost; the message names those there are.

    >>> axis_named("bytes")
    'param_bytes'
    """
    full = full_name(name)
    if full not in (*known_costs(), LATENCY, "saved_bytes"):
        raise UnknownNameError("cost", name, (*known_costs(), *SHORT))
    return full


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scales:
    """Reads costs of one model.

    Attributes:
        model: as it is.
        call: what it is called with.
        profile: of the two, with groups.
        axes: the costs, by their full names.
        pieces: times pieces; None where no axis is a time.
        check: called before each reading that takes long.
        options: by step, what is known of it.
        laid: profiles behind the beginnings of plans; filled as plans are read.
    """

    model: nn.Module
    call: Call
    profile: Profile
    axes: tuple[str, ...]
    pieces: Pieces | None = None
    check: Callable[[], None] = lambda: None
    options: Mapping[Step, Option] = field(default_factory=dict)
    laid: dict[tuple[Step, ...], Profile] = field(default_factory=dict)

    def limits(self, budgets: Mapping[str, float | str]) -> dict[str, float]:
        """Return each budget in the unit of its axis; a share is one of what the model takes now.

        Raises:
            InputError: no budget, one named twice, or one that leaves nothing or is more than there is.
            UnknownNameError: no such cost.
        """
        found: dict[str, float] = {}
        for name, budget in budgets.items():
            axis = axis_named(name)
            if axis in found:
                raise InputError(f"{axis} has two budgets; one was expected.")
            found[axis] = limit_of(budget, axis, self.of(self.profile, axis, ()))
        if not found:
            raise InputError("No budget was given; something like {'macs': 0.5} was expected.")
        return found

    def read(self, plan: Plan) -> tuple[Profile, Mapping[str, float]] | None:
        """Return what the profile will be after ``plan``, and how much of each axis it will take.

        None where the plan cannot be laid out as it stands.
        """
        try:
            after = self._after(plan)
        except EffError:
            return None
        if after is None:
            return None
        return after, {axis: self.of(after, axis, plan.steps) for axis in self.axes}

    def of(self, profile: Profile, axis: str, steps: Sequence[Step]) -> float:
        """Return one cost of a profile, that of a time from what is known of the steps alone."""
        if axis == LATENCY:
            return self._time(steps)
        if axis in (*AXES, "saved_bytes"):
            return float(amount(axis, profile.cost, profile.memory))
        return float(METRICS[axis].measure(profile))

    def foretold(self, plan: Plan, costs: Mapping[str, float]) -> dict[str, float]:
        """Return the costs with the time of the whole plan from its pieces, each timed as it will stand."""
        found = dict(costs)
        if LATENCY in found and self.pieces is not None and len(plan):
            self.check()
            change = self.pieces.plan(plan.steps)
            found[LATENCY] = max(change.whole_s + change.change_s, _LEAST * change.whole_s)
        return found

    def _after(self, plan: Plan) -> Profile | None:
        if set(self.axes) <= _SUMS | {LATENCY}:
            try:
                found = self._foreseen(plan.steps)
            except EffError:  # one that does not foresee; the shadow tells
                pass
            else:
                return found
        self.check()
        laid = hypothetical(self.model, plan, self.call, known=self.profile, backward="saved_bytes" in self.axes)
        return None if any(note.startswith(LEFT_OUT) for note in laid.notes) else laid

    def _foreseen(self, steps: tuple[Step, ...]) -> Profile:
        # Plans begin alike, so what begins them is kept.
        if not steps:
            return self.profile
        if steps not in self.laid:
            self.laid[steps] = foresee(self._foreseen(steps[:-1]), steps[-1])
        return self.laid[steps]

    def _time(self, steps: Sequence[Step]) -> float:
        if self.pieces is None:
            return 0.0
        whole = self.pieces.whole().median_s
        known = [option.latency for step in steps if (option := self.options.get(step)) and option.latency]
        # Of what is left after the ones before: pieces that two steps change are not saved twice.
        left = 1.0
        for latency in known:
            left *= 1 + max(latency.share, _LEAST - 1)
        return whole * max(left, _LEAST)


def with_latency(options: Sequence[Option], pieces: Pieces) -> tuple[Option, ...]:
    """Return the options with their change of the time; those that cannot be timed are left out."""
    missing = [option for option in options if option.latency is None]
    try:
        found = dict(
            zip((option.step for option in missing), pieces.of_many([one.step for one in missing]), strict=True)
        )
    except EffError:  # one of them: each by itself
        found = {}
        for option in missing:
            try:
                found[option.step] = pieces.of(option.step)
            except EffError:
                continue
    timed = (option if option.latency else replace(option, latency=found.get(option.step)) for option in options)
    return tuple(option for option in timed if option.latency is not None)
