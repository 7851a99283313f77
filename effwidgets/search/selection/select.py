"""A plan under several budgets at once: chosen by what is predicted, then carried out, measured, and corrected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.profile import ProfileOptions
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Chosen, Option, Plan, Profile, Reached, Score
from effwidgets.search.clocks.models import time_models
from effwidgets.search.clocks.pieces import Pieces
from effwidgets.search.engine.scores import read_scores
from effwidgets.search.fronts.axes import LATENCY
from effwidgets.search.selection.budget import amount_text
from effwidgets.search.selection.offers import Offer, offers
from effwidgets.search.selection.scales import Scales, axis_named, with_latency
from effwidgets.search.sensitivity.gauge import Gauge, answer_of
from effwidgets.search.sensitivity.measure import sensitivity
from effwidgets.search.sensitivity.options import SensitivityOptions
from effwidgets.search.sensitivity.parts import Parts, parts_of
from effwidgets.transforms.apply import Applied, apply, private_copy
from effwidgets.transforms.calibration import Calibration, calibration_of
from effwidgets.transforms.sound import check_answers, check_calibration
from effwidgets.transforms.trial import answer, quiet_random, stand_in

if TYPE_CHECKING:
    from effwidgets.search.engine.options import Evaluate

__all__ = ["SelectOptions", "select"]

_SHARES: Final = (0.9, 0.75, 0.6, 0.45, 0.3, 0.2, 0.1)
_TIGHTER: Final = 1.01
_FAMILIES: Final = ("prune", "factorize", "bottleneck")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectOptions:
    """How to choose under budgets.

    Attributes:
        options: what to choose among, with a divergence or an error each; None: measured now, on ``calibration``.
        calibration: real inputs, no labels; None: the inputs themselves, and nothing is repaired.
        evaluate: scores a model: the model as it is, and the one that was chosen.
        score_name: what a plain number is called.
        rounds: how many plans are carried out at most, until one keeps the budgets.
        samples: so many calibration samples are used at most to measure the loss.
        profile: of the model, with groups, where it is at hand.
    """

    options: Sequence[Option] | None = None
    calibration: object = None
    evaluate: Evaluate | None = None
    score_name: str = "score"
    rounds: int = 5
    samples: int = 192
    profile: Profile | None = None


def select(
    model: nn.Module,
    inputs: Inputs,
    budgets: Mapping[str, float | str],
    options: SelectOptions | None = None,
    check: Callable[[], None] | None = None,
) -> tuple[Chosen, Applied]:
    """Choose the plan of the least predicted loss that keeps all budgets, and carry it out.

    The loss of a plan is predicted as the sum of the losses of its steps alone, its costs by arithmetic over the whole
    plan (times: from its pieces). Then it is carried out: what is true is counted, measured and returned. A plan that
    misses a budget shows how far the prediction is off; the prediction is corrected by that and the choice made again.

    Before the correction, which only a miss brings, a smaller budget never gives a smaller predicted loss, and for its
    own axis never a larger cost.

    Raises:
        InputError: budgets that leave nothing or cannot be kept: the message says the least that each can reach.
        UnknownNameError: no such cost.
        ModelError: the model's forward fails.
    """
    started = time.perf_counter()
    asked = options or SelectOptions()
    work = _work(model, as_call(inputs), budgets, asked, check or _never)
    laid = offers(tuple(work.scales.options.values()), work.scales.profile, work.scales.axes, work.scales.read)
    tried: list[tuple[Offer, Applied, tuple[Reached, ...]]] = []
    off = dict.fromkeys(work.limits, 1.0)
    while len(tried) < max(1, asked.rounds):
        offer = work.best(laid, off, [one.plan for one, _, _ in tried])
        if offer is None:
            break
        work.scales.check()
        made = work.made(offer)
        tried.append((offer, *made))
        if all(one.met for one in made[1]):
            break
        for one in made[1]:
            off[one.axis] = max(off[one.axis], _TIGHTER * one.true / max(offer.costs[one.axis], 1e-30))
    if not tried or not all(one.met for one in tried[-1][2]):
        raise InputError(work.cannot(laid, tried))
    offer, applied, reached = tried[-1]
    chosen = work.record(offer, applied, reached)
    return replace(chosen, rounds=len(tried), seconds=time.perf_counter() - started), applied


def _never() -> None:
    """Stop nothing."""


def _work(
    model: nn.Module, call: Call, budgets: Mapping[str, float | str], asked: SelectOptions, check: Callable[[], None]
) -> _Work:
    check_module(model)
    axes = tuple(axis_named(name) for name in budgets)
    with quiet_random():  # a loader that shuffles draws from the state of the whole process
        data = calibration_of(asked.calibration, like=call)
    check_answers(model, call)
    if data is not None:
        check_calibration(model, data, call)
    profile = asked.profile or profile_model(model, call, options=ProfileOptions(second_opinion=True))
    pieces = Pieces(model, call, profile, check=check) if LATENCY in axes else None
    scales = Scales(model=model, call=call, profile=profile, axes=axes, pieces=pieces, check=check)
    limits = scales.limits(budgets)
    found = asked.options if asked.options is not None else _measured(model, call, data, asked, check)
    found = tuple(found) if pieces is None else with_latency(found, pieces)
    scales = replace(scales, options={option.step: option for option in found})
    parts = parts_of(model, call, data, samples=asked.samples, share=0.25)
    return _Work(model=model, scales=scales, limits=limits, data=data, parts=parts, asked=asked)


def _measured(
    model: nn.Module, call: Call, data: Calibration | None, asked: SelectOptions, check: Callable[[], None]
) -> Sequence[Option]:
    how = SensitivityOptions(families=_FAMILIES, shares=_SHARES, calibration=data, samples=asked.samples)
    return sensitivity(model, call, options=how, check=check).options


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    # One choice: what it is made with.
    model: nn.Module
    scales: Scales
    limits: Mapping[str, float]
    data: Calibration | None
    parts: Parts
    asked: SelectOptions

    def best(self, laid: Sequence[Offer], off: Mapping[str, float], tried: Sequence[Plan]) -> Offer | None:
        """Return the first that keeps the budgets by what is predicted of it, times what predictions were off."""
        wrong = dict(off)
        for offer in laid:  # the least loss first
            if offer.plan in tried or not self._keeps(offer.costs, wrong):
                continue
            foretold = self.scales.foretold(offer.plan, offer.costs)
            if self._keeps(foretold, off):
                return replace(offer, costs=foretold)
            if LATENCY in wrong:  # the sum over the steps alone was too hopeful
                wrong[LATENCY] = max(wrong[LATENCY], off[LATENCY] * foretold[LATENCY] / offer.costs[LATENCY])
        return None

    def _keeps(self, costs: Mapping[str, float], off: Mapping[str, float]) -> bool:
        return all(costs[axis] * off[axis] <= limit for axis, limit in self.limits.items())

    def made(self, offer: Offer) -> tuple[Applied, tuple[Reached, ...]]:
        """Carry a plan out and say what became of each budget."""
        scales = self.scales
        applied = apply(
            self.model, offer.plan, scales.call, calibration=self.data, check=scales.check, known=scales.profile
        )
        applied.model.eval()
        return applied, tuple(self._reached(offer, applied))

    def _reached(self, offer: Offer, applied: Applied) -> Iterator[Reached]:
        scales = self.scales
        for axis, limit in self.limits.items():
            now = scales.of(scales.profile, axis, ())
            true, error = 0.0, 0.0
            if axis == LATENCY:
                times = time_models({0: self.model, 1: applied.model}, scales.call, check=scales.check)
                # The budget is a share of, or an amount beside, the time that the model took when it was set.
                true = now * times[1].value / times[0].value
                error = now * (times[1].error or 0.0) / times[0].value
            else:
                true = scales.of(applied.profile, axis, ())
            yield Reached(axis=axis, limit=limit, now=now, predicted=offer.costs[axis], true=true, error=error)

    def record(self, offer: Offer, applied: Applied, reached: tuple[Reached, ...]) -> Chosen:
        """Measure what is true of the model that the plan made."""
        dense = stand_in(self.model)  # the caller's may be in training mode, and its batch norms would learn
        gauge = Gauge([answer_of(answer(dense, call)) for call in self.parts.held])
        loss, _ = gauge.of([answer_of(answer(applied.model, call)) for call in self.parts.held])
        base = self._scores(self.model, None)
        return Chosen(
            model=type(self.model).__name__,
            plan=offer.plan,
            budgets=reached,
            options=offer.options,
            measure=gauge.kind,
            predicted_loss=offer.loss,
            true_loss=loss,
            base=base,
            scores=self._scores(applied.model, base[0].metric if base else None),
            skipped=applied.skipped,
            notes=self.parts.notes,
        )

    def _scores(self, model: nn.Module, main: str | None) -> tuple[Score, ...]:
        if self.asked.evaluate is None:
            return ()
        with quiet_random():
            found = self.asked.evaluate(private_copy(model).eval())
        return read_scores(found, self.asked.score_name, main)

    def cannot(self, laid: Sequence[Offer], tried: Sequence[tuple[Offer, Applied, tuple[Reached, ...]]]) -> str:
        """Say why no plan keeps the budgets, and how far each could be met."""
        said = []
        for axis, limit in self.limits.items():
            now = self.scales.of(self.scales.profile, axis, ())
            least = min((offer.costs[axis] for offer in laid), default=now)
            wanted = f"{axis} {amount_text(axis, limit)} ({limit / now:.0%} of now)"
            if least >= now > limit:
                said.append(f"{wanted}; nothing that was tried lowers it")
                continue
            said.append(f"{wanted}; the least that was found is {amount_text(axis, least)} ({least / now:.0%})")
        text = f"No plan keeps the budget{'s' * (len(said) > 1)}: {'. '.join(said)}."
        if tried:
            missed = ", ".join(f"{one.axis} {amount_text(one.axis, one.true)}" for one in tried[-1][2] if not one.met)
            done = "One plan was" if len(tried) == 1 else f"{len(tried)} plans were"
            text += f" {done} carried out that should have kept them; the last one came to {missed}."
        elif len(said) > 1 and all(min(o.costs[a] for o in laid) <= limit for a, limit in self.limits.items() if laid):
            text += " Each can be kept alone, but none of the plans keeps all."
        if all("nothing that was tried" in one for one in said):
            return f"{text} suggest() says at each place why."
        return f"{text} Ask for that, or search plans that go further with explore()."
