"""A plan made better at its size: channels moved between groups, by what each move was measured to do just there.

What a step costs alone says little of what it costs beside others where much is gone: losses do not add up from the
dense model on. Around a plan that is small already they nearly do. So the moves there are tried one by one, really
carried out and repaired, and a small knapsack over them picks those that go together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from torch import nn

from effwidgets.errors import EffError, TransformError
from effwidgets.profiling.calls import Call
from effwidgets.records import Knob, Plan, Profile, Site, Step, settings
from effwidgets.search.selection.knapsack import Menu, frontier
from effwidgets.search.sensitivity.gauge import Gauge, Gauged, answer_of
from effwidgets.search.sensitivity.parts import Parts, parts_of
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["Judge", "Size", "Trials", "refined", "trials_of"]

Judge: TypeAlias = Callable[[Plan], float]
"""How far the outputs part after a plan, carried out and repaired."""

Size: TypeAlias = Callable[[Plan], float]
"""What a plan leaves of the cost, as a share."""

_WIDER: Final = 1.34
_ROUNDS: Final = 2
_SAMPLES: Final = 384
_OVER: Final = 1.02  # of the size: what still counts as the same


@dataclass(slots=True, kw_only=True, eq=False)
class Trials:
    """Carries plans out and says how far the outputs part, on calibration samples that nothing was fitted to.

    Attributes:
        model: the dense model; it is not changed.
        call: what it is called with.
        profile: of the two, with groups.
        calibration: real inputs.
        check: called before each plan; what it raises ends the work.
        done: how many plans were carried out.
    """

    model: nn.Module
    call: Call
    profile: Profile
    calibration: Calibration | None
    check: Callable[[], None]
    gauge: Gauged = "auto"
    done: int = 0
    _known: tuple[Parts, Gauge] | None = None

    def loss(self, plan: Plan) -> float:
        """Return the divergence of the model that ``plan`` makes, repaired.

        Raises:
            TransformError: not one step could be done.
            ModelError: the outputs are not those of the model any more.
        """
        self.check()
        if self._known is None:
            parts = parts_of(self.model, self.call, self.calibration, samples=_SAMPLES, share=0.25)
            dense = stand_in(self.model)
            self._known = parts, Gauge([answer_of(answer(dense, call)) for call in parts.held], self.gauge)
        parts, gauge = self._known
        self.done += 1
        made = apply(self.model, plan, self.call, calibration=parts.fit, check=self.check, known=self.profile)
        if made.skipped:
            raise TransformError(f"{made.skipped[0].transform} could not be done: {made.skipped[0].reason}")
        found, _ = gauge.of([answer_of(answer(made.model.eval(), call)) for call in parts.held])
        return float("inf") if found is None else found


@dataclass(frozen=True, slots=True)
class _Move:
    step: Step
    loss: float
    log_cost: float


def trials_of(plan: Plan) -> int:
    """Return how many plans `refined` judges at most."""
    return 1 + _ROUNDS * (2 * sum(step.transform == "channel_prune" for step in plan) + 1)


def refined(plan: Plan, profile: Profile, size: Size, judge: Judge) -> tuple[Plan, float]:
    """Return a plan of about the same size of which the outputs part less, and how far; the plan itself where none is.

    Args:
        plan: of prunings, all groups that are to take part in it.
        profile: of the dense model.
        size: what a plan leaves of the cost.
        judge: what it loses; called `trials_of` times at most.
    """
    try:
        best, loss = plan, judge(plan)
    except EffError:  # one that cannot be done as it stands
        return plan, float("inf")
    limit = _OVER * size(plan)
    knobs = _knobs(profile)
    for _ in range(_ROUNDS):
        moves = {place: list(_moves(best, place, knobs, size, judge)) for place in range(len(best))}
        made = _joined(best, moves, loss, size, limit)
        if made is None:
            break
        try:
            found = judge(made)
        except EffError:
            break
        if found >= loss:
            break
        best, loss = made, found
    return best, loss


def _knobs(profile: Profile) -> Mapping[tuple[str, ...], Knob]:
    sites = (site for site in TRANSFORMS["channel_prune"].sites(profile) if isinstance(site, Site))
    return {site.layers: knob for site in sites for knob in site.knobs if knob.name == "channels"}


def _moves(plan: Plan, place: int, knobs: Mapping[tuple[str, ...], Knob], size: Size, judge: Judge) -> Iterator[_Move]:
    step = plan.steps[place]
    knob = knobs.get(step.layers)
    if step.transform != "channel_prune" or knob is None:
        return
    now = step.setting("channels")
    if not isinstance(now, int):
        return
    for wanted in _around(now, knob):
        moved = Step(
            transform=step.transform, layers=step.layers, settings=settings({**dict(step.settings), "channels": wanted})
        )
        trial = _with(plan, place, moved)
        try:
            cost = float(np.log(max(size(trial), 1e-9)) - np.log(max(size(plan), 1e-9)))
            yield _Move(moved, judge(trial), cost)
        except EffError:  # a move that cannot be made
            continue


def _around(now: int, knob: Knob) -> list[int]:
    low, high = int(knob.low or knob.multiple), int(knob.high or now)
    most = high - knob.multiple  # all of them would be no pruning
    wide = min(most, max(now + knob.multiple, round(now * _WIDER / knob.multiple) * knob.multiple))
    thin = max(low, min(now - knob.multiple, round(now / _WIDER / knob.multiple) * knob.multiple))
    return [value for value in (wide, thin) if value != now and low <= value <= most]


def _with(plan: Plan, place: int, step: Step) -> Plan:
    return Plan(steps=(*plan.steps[:place], step, *plan.steps[place + 1 :]))


def _joined(plan: Plan, moves: Mapping[int, Sequence[_Move]], loss: float, size: Size, limit: float) -> Plan | None:
    # The moves that promise most together at the same size; by what they really leave of the cost.
    menus = [
        Menu(
            np.asarray([0.0, *(move.loss - loss for move in found)]),
            np.asarray([[0.0], *([move.log_cost] for move in found)]),
        )
        for found in moves.values()
    ]
    picks = frontier(menus) if menus else None
    for row in () if picks is None else picks.choices:
        made = plan
        for place, choice in zip(moves, row.tolist(), strict=True):
            if choice:
                made = _with(made, place, moves[place][choice - 1].step)
        if made == plan:
            return None  # from here on nothing is promised
        if size(made) <= limit:
            return made
    return None
