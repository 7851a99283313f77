"""Where plans come from, who is worth training, and what is measured of whom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from typing import TYPE_CHECKING, get_args

from effwidgets.errors import Cancelled, EffError
from effwidgets.records import Candidate, Plan, Rung, Score
from effwidgets.search.engine.book import PREDICTED, Book, measure_of
from effwidgets.search.engine.gate import own_threads
from effwidgets.search.engine.latency import near_front, time_candidates
from effwidgets.search.engine.promotion import worth_training
from effwidgets.search.engine.proposer import Proposer, Who
from effwidgets.search.engine.rungs import carried
from effwidgets.search.fronts.axes import LATENCY

if TYPE_CHECKING:
    from effwidgets.search.clocks.pieces import Pieces
    from effwidgets.search.engine.workshop import Workshop
    from effwidgets.search.selection.seeds import Seeds
    from effwidgets.search.store.base import Header
    from effwidgets.transforms.apply import Applied

__all__ = ["Ideas", "Lay"]

_SEEDS = 24  # twice as many where a sampler goes on
_CHEAP_S = 0.02  # of a trial: below, TPE itself would take most of the time

Lay = Callable[[int, Callable[[], None]], "Seeds"]
"""Gives at most so many plans to begin with, and what others are drawn from; the function given is called in between
and ends the work by what it raises."""


class Ideas:
    """Proposes plans: the seeds first, then what a sampler draws.

    Args:
        book: what the search knows.
        workshop: makes candidates.
        take: gives the model of a candidate that is done.
        lay: makes the seeds; None for those of `seeds`.
        held: the numbers of the models that are in memory.

    Attributes:
        late: numbers of candidates whose latency is predicted when no worker computes.
    """

    def __init__(
        self,
        book: Book,
        workshop: Workshop,
        take: Callable[[Candidate], Applied],
        lay: Lay | None = None,
        held: Container[int] = (),
    ) -> None:
        self._book = book
        self._workshop = workshop
        self._take = take
        self._held = held
        self._lay = lay or self._advice
        self.late: set[int] = set()
        self._found: Seeds | None = None
        self._proposer: Proposer | None = None
        self._revision = 0
        self._pieces: Pieces | None = None
        self._timeless: set[int] = set()
        self._check: Callable[[], None] = lambda: None

    @property
    def looked(self) -> int:
        """How many models were made and measured, without labels, to find the seeds."""
        return 0 if self._found is None else self._found.trials

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs of compressed candidates, lowest first."""
        return self._workshop.rungs

    def header(self) -> Header:
        """Return what a store is told of this search."""
        from effwidgets.search.store.base import Header, ModelMark
        from effwidgets.search.store.marks import call_mark, model_mark

        options = self._book.options
        kept = options.store is not None  # in memory nobody compares, and a large model takes a while to read
        mark = model_mark(self._workshop.model) if kept else ModelMark(name="", structure="", values="")
        return Header(
            model=mark,
            call=call_mark(self._workshop.call) if kept else "",
            metric="" if options.score_name == "score" else options.score_name,
            better=options.better,
            objectives=tuple(options.objectives),
            seed=options.seed,
        )

    def seeds(self, check: Callable[[], None]) -> tuple[Plan, ...]:
        """Return the plans to begin with."""
        self._check = check
        options = self._book.options
        most = _SEEDS if options.trials is None else min(options.trials, 2 * _SEEDS)
        if options.trials is not None and options.sampler not in ("auto", "ladder"):  # who was asked for has a turn
            most = min(most, (options.trials + 1) // 2)
        self._found = self._lay(most, check)
        return self._found.plans

    def propose(self, check: Callable[[], None]) -> tuple[Plan, str] | None:
        """Return a plan that was not tried, and who thought of it; None when the search has what was asked for."""
        options = self._book.options
        if options.trials is None or self._book.exhausted:
            return None
        if self._book.tried >= options.trials:
            return None
        self._check = check
        proposer = self._proposer or self._hired(check)
        if self._revision != self._book.revision:
            self._revision = self._book.revision
            proposer.fill(self._book.results())
        plan = proposer.ask()
        self._book.exhausted = plan is None
        return None if plan is None else (plan, proposer.who)

    def tell(self, candidate: Candidate) -> None:
        """Let the sampler know what came of a candidate."""
        if self._proposer is not None:
            self._proposer.tell(self._book.result(candidate, self._book.bounds()))

    def priced(self, candidate: Candidate, *, quiet: bool = True) -> Candidate:
        """Return a candidate with its predicted latency, where the search is after it.

        Where it is not ``quiet``, workers elsewhere compute, who do not give way to a measurement: one whose pieces
        were not timed yet comes back as it is, and is among those that are ``late``.
        """
        if not self._wants_latency or candidate.state != "done" or candidate.cost is None:
            return candidate
        try:
            with own_threads(1):  # nobody else computes, and all times are those of as many threads
                pieces = self._timer()
                if not quiet and not pieces.knows(candidate.plan):
                    self.late.add(candidate.number)
                    return candidate
                found = _predicted(pieces, candidate)
        except Cancelled:  # it is kept; the next run comes back to it
            return candidate
        except EffError:  # a step that cannot be laid out alone: the candidate is still timed whole, near the front
            self._timeless.add(candidate.number)
            return candidate
        return carried(candidate, [Score(metric=PREDICTED, value=max(0.0, found))])

    def unpriced(self) -> list[Candidate]:
        """Return who has a score and no predicted latency, where the search is after it and there can be one."""
        self.late.clear()
        if not self._wants_latency:
            return []
        done = [known for known in self._book.archive.done() if known.number not in self._timeless]
        return [known for known in done if known.cost is not None and measure_of(known, PREDICTED) is None]

    def worth(self, rung: Rung, asked: Collection[int]) -> list[Candidate]:
        """Return the candidates that should be taken to ``rung`` and were not ``asked``, the most promising first."""
        with self._book.lock:
            return worth_training(self._book, rung, asked)

    def time(self, check: Callable[[], None], say: Callable[[str], None], keep: Callable[[Candidate], None]) -> None:
        """Time whole models near the front, where the search is after latency; one after the other, side by side."""
        if not self._wants_latency:
            return
        with self._book.lock:
            chosen = near_front(self._book, self._held)
        if len(chosen) > 1:
            say(f"Timing {len(chosen)} models side by side")
            with own_threads(1):
                timed = time_candidates(chosen, self._take, self._workshop.call, check)
            for candidate in timed:
                keep(candidate)

    @property
    def _wants_latency(self) -> bool:
        return LATENCY in self._book.options.objectives or LATENCY in self._book.limits.axes

    def _hired(self, check: Callable[[], None]) -> Proposer:
        from effwidgets.search.selection.space import Space

        options = self._book.options
        if self._found is None:
            self._found = self._lay(_SEEDS, check)
        space = Space(self._found.options, self._found.profile, closing=self._found.closing)
        self._proposer = Proposer(
            space,
            self._who(),
            objectives=1 + len(options.objectives),
            seed=options.seed,
            known=lambda plan: plan in self._book.archive,
        )
        self._revision = self._book.revision
        self._proposer.fill(self._book.results())
        return self._proposer

    def _who(self) -> Who:
        sampler = self._book.options.sampler
        if sampler != "auto":
            return next(who for who in get_args(Who) if who == sampler)
        trial_s = self._book.trial_s()
        return "nsga2" if trial_s is not None and trial_s < _CHEAP_S else "tpe"

    def _advice(self, most: int, check: Callable[[], None]) -> Seeds:
        from effwidgets.search.selection.seeds import seeds

        shop = self._workshop
        pieces = self._timer() if self._wants_latency else None
        return seeds(
            shop.model,
            shop.call,
            calibration=shop.calibration,
            goals=tuple(self._book.options.objectives),
            gauge=self._book.options.gauge,
            check=check,
            most=most,
            pieces=pieces,
        )

    def _checked(self) -> None:
        self._check()  # that of the run that goes on now

    def _timer(self) -> Pieces:
        if self._pieces is None:
            from effwidgets.search.clocks.pieces import Pieces

            shop = self._workshop
            self._pieces = Pieces(shop.model, shop.call, shop.known(), check=self._checked)
        return self._pieces


def _predicted(pieces: Pieces, candidate: Candidate) -> float:
    if candidate.number == 0:
        return pieces.whole().median_s
    change = pieces.plan(candidate.plan)
    return change.whole_s + change.change_s
