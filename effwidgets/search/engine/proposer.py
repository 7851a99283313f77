"""Who thinks of the next plan: Optuna's samplers through ask and tell, in memory, filled from the archive."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from effwidgets.records import Plan

if TYPE_CHECKING:
    import optuna

    from effwidgets.search.selection.space import Space

__all__ = ["Proposer", "Result", "Who"]

Who = Literal["tpe", "nsga2", "random", "grid"]

_DRAWS = 400  # steps aside from what a sampler repeats, half of them near it, before all plans are gone through
_GENERATION = "NSGAIISampler:generation"
_POPULATION = 24  # as many as there are seeds, so that they are the first parents


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a plan, for the sampler: every value better when lower.

    Attributes:
        plan: what was tried.
        values: the score, turned so that lower is better, then the costs; None where it failed.
        excess: by cost with a budget, how far it is beyond it, as a share of the limit; up to 0 keeps it.
    """

    plan: Plan
    values: tuple[float, ...] | None
    excess: Mapping[str, float]


class Proposer:
    """Asks a sampler for plans that were not tried.

    Several may be asked for before the first is told: TPE counts those that are under way as poor, so that they part.

    Args:
        space: what plans are drawn from.
        who: "tpe", "nsga2", "random" or "grid".
        objectives: how many values a result has.
        seed: the same one draws the same plans, as long as results come in the same order.
        known: says whether a plan was tried already, or is under way.

    Example:
        >>> import torch
        >>> from effwidgets import Call, profile
        >>> from effwidgets.search.selection.seeds import seeds
        >>> from effwidgets.search.selection.space import Space
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> space = Space(seeds(model, Call((torch.eye(64),)), most=4).options, profile(model, torch.eye(64)))
        >>> source = Proposer(space, "random", objectives=2, seed=0, known=lambda plan: False)
        >>> one, other = source.ask(), source.ask()
        >>> one != other
        True
    """

    def __init__(self, space: Space, who: Who, *, objectives: int, seed: int, known: Callable[[Plan], bool]) -> None:
        self.who = who
        self._space = space
        self._known = known
        self._dice = random.Random(seed)  # noqa: S311  no secret
        self._sampler = _sampler(who, seed)
        self._directions = ["minimize"] * objectives
        self._asked: dict[Plan, optuna.trial.Trial] = {}
        self._stood_for: set[Plan] = set()  # under way under the trial of a plan that the sampler repeated
        self._grid = self._shuffled_grid() if who == "grid" else iter(())
        self._distributions = _distributions(space)
        self._study = _study(self._sampler, objectives)

    def fill(self, results: Iterable[Result]) -> None:
        """Begin anew with these results: what was known before counts no more, save what is under way."""
        self._study = _study(self._sampler, len(self._directions))
        waiting = list(self._asked)
        self._asked, self._stood_for = {}, set()
        for result in results:
            self._add(result)
        for plan in waiting:
            self._ask(plan)

    def ask(self) -> Plan | None:
        """Return a plan that was not tried; None where none was found."""
        if not self._distributions:
            return None
        if self.who == "grid":
            return next((plan for params in self._grid if self._is_new(plan := self._space.plan(params))), None)
        trial = self._study.ask(self._distributions)
        params = {name: int(value) for name, value in trial.params.items()}
        plan = self._space.plan(params)
        if self._is_new(plan):
            self._asked[plan] = trial
            return plan
        aside = self._aside(params)
        if aside is None:
            self._give_up(trial)
        else:  # to ask for a trial of its own took as long again as to ask the sampler
            self._asked[aside] = trial
            self._stood_for.add(aside)
        return aside

    def tell(self, result: Result) -> None:
        """Say what came of a plan, whoever thought of it."""
        if self.who == "grid":
            return
        trial = self._asked.pop(result.plan, None)
        if trial is None:
            self._add(result)
        elif result.plan in self._stood_for:
            self._stood_for.discard(result.plan)
            self._give_up(trial)
            self._add(result, trial)
        elif not _sound(result):
            self._give_up(trial)
        else:
            for name, excess in result.excess.items():
                trial.set_constraint(name, excess)
            self._study.tell(trial, list(result.values or ()))

    def _add(self, result: Result, beside: optuna.trial.Trial | None = None) -> None:
        from optuna.trial import create_trial

        params = self._space.params(result.plan)
        if params is None or not _sound(result) or self.who == "grid":
            return
        attributes: dict[str, object] = {_GENERATION: self._born(beside)} if self.who == "nsga2" else {}
        attributes |= {f"constraints:{name}": float(excess) for name, excess in result.excess.items()}
        self._study.add_trial(
            create_trial(
                params={name: params[name] for name in self._distributions},
                distributions=self._distributions,
                values=[float(value) for value in result.values or ()],
                system_attrs=attributes,
            )
        )

    def _born(self, trial: optuna.trial.Trial | None) -> object:
        if trial is None:
            return 0
        return self._study.get_trials(deepcopy=False)[trial.number].system_attrs.get(_GENERATION, 0)

    def _ask(self, plan: Plan) -> None:
        # The sampler is to count a plan that is under way; one that it cannot express it does not know of.
        params = self._space.params(plan)
        if params is not None:
            self._study.enqueue_trial({name: params[name] for name in self._distributions})
            self._asked[plan] = self._study.ask(self._distributions)

    def _give_up(self, trial: optuna.trial.Trial) -> None:
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)

    def _aside(self, repeated: Mapping[str, int]) -> Plan | None:
        # One step aside from what the sampler repeats, then two, then anywhere. To ask it again until it thinks of
        # something new was seen to take most of a search: TPE asked three times for each plan of a small space.
        names = list(self._distributions)
        for turn in range(_DRAWS):
            params = {name: self._draw(name) for name in names} if turn >= _DRAWS // 2 else dict(repeated)
            for name in self._dice.sample(names, min(len(names), 1 + turn % 3)):
                params[name] = self._draw(name)
            plan = self._space.plan(params)
            if self._is_new(plan):
                return plan
        return next((plan for params in self._all() if self._is_new(plan := self._space.plan(params))), None)

    def _draw(self, name: str) -> int:
        return self._dice.randrange(self._space.choices(name))

    def _is_new(self, plan: Plan) -> bool:
        return len(plan) > 0 and plan not in self._asked and not self._known(plan)

    def _all(self) -> Iterator[dict[str, int]]:
        # Every plan there is, as long as somebody could wait for it.
        names = list(self._distributions)
        ranges = [range(self._space.choices(name)) for name in names]
        for values in itertools.islice(itertools.product(*ranges), 20_000):
            yield dict(zip(names, values, strict=True))

    def _shuffled_grid(self) -> Iterator[dict[str, int]]:
        names = list(self._space.names)
        sizes = [self._space.choices(name) for name in names]
        total = math.prod(sizes)
        turns: Iterable[int]
        if total <= 1_000_000:
            turns = self._dice.sample(range(total), total)
        else:  # too many to lay out: what is drawn twice is found out by the archive
            turns = (self._dice.randrange(total) for _ in itertools.count())
        for turn in turns:
            yield _digits(turn, names, sizes)


def _digits(turn: int, names: list[str], sizes: list[int]) -> dict[str, int]:
    found = {}
    for name, size in zip(names, sizes, strict=True):
        turn, found[name] = divmod(turn, size)
    return found


def _sound(result: Result) -> bool:
    return result.values is not None and all(map(math.isfinite, (*result.values, *result.excess.values())))


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    kind = _shared_range()
    return {name: kind(0, space.choices(name) - 1) for name in space.names if space.choices(name) > 1}


@functools.cache
def _shared_range() -> type[optuna.distributions.IntDistribution]:
    from optuna.distributions import IntDistribution

    class SharedRange(IntDistribution):
        """Not copied with each trial that is told: nobody writes to it, and that was a quarter of a trial's time."""

        def __deepcopy__(self, memo: object) -> SharedRange:
            return self

    return SharedRange


def _sampler(who: Who, seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

    if who == "tpe":
        return TPESampler(seed=seed)
    return NSGAIISampler(seed=seed, population_size=_POPULATION) if who == "nsga2" else RandomSampler(seed=seed)


def _study(sampler: optuna.samplers.BaseSampler, objectives: int) -> optuna.Study:
    import optuna

    with _silent("optuna.storages._in_memory"):
        return optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), sampler=sampler, directions=["minimize"] * objectives
        )


@contextmanager
def _silent(name: str) -> Iterator[None]:
    # Optuna says that it made a study. Only what this thread says is held back: the level belongs to the user.
    own = threading.get_ident()
    logger = logging.getLogger(name)

    def others(record: logging.LogRecord) -> bool:
        return record.thread != own

    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)
