"""Who goes up to the next rung, and what a candidate is afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from effwidgets.records import RUNGS, Candidate, Climb, Rung, Score
from effwidgets.search.engine.orders import Order
from effwidgets.search.fronts.pareto import Better

__all__ = ["carried", "climb_order", "climbed", "spread", "tried_at"]


def tried_at(candidate: Candidate, rung: Rung) -> bool:
    """Say whether a candidate stands on ``rung`` or above, or was taken there in vain.

    >>> from effwidgets.records import Plan
    >>> one = Candidate(number=1, plan=Plan(), rung="repaired", state="done")
    >>> tried_at(one, "repaired"), tried_at(one, "fine-tuned")
    (True, False)
    """
    reached = (candidate.rung, *(climb.rung for climb in candidate.climbed))
    return max(RUNGS.index(known) for known in reached) >= RUNGS.index(rung)


def climb_order(candidate: Candidate, rung: Rung, main: str) -> Order:
    """Return the order that takes a candidate from where it stands to ``rung``."""
    return Order(
        number=candidate.number,
        plan=candidate.plan,
        rung=rung,
        seed=candidate.seed,
        source=candidate.source,
        main=main,
        climbed=(*candidate.climbed, Climb(rung=candidate.rung, scores=candidate.scores, seconds=candidate.seconds)),
    )


def climbed(before: Candidate, after: Candidate, better: Better) -> tuple[Candidate, bool]:
    """Return what a candidate is after a climb, and whether it stands on the new rung now.

    One that failed there, or scores worse, stays as it was; what was tried stands in ``climbed`` and ``note``.

    Args:
        before: what it was.
        after: what the climb made of it: done or failed.
        better: in which direction the main score improves.
    """
    old, new = before.score(), after.score()
    kept = after.state == "done" and old is not None and new is not None
    if kept and old is not None and new is not None and (new >= old if better == "higher" else new <= old):
        measures = {score.metric: score for score in (*before.measures, *after.measures)}
        return dataclasses.replace(after, measures=tuple(measures.values())), True
    tried = Climb(rung=after.rung, scores=after.scores if kept else (), seconds=after.seconds)
    what = "Briefly tuned" if after.rung == "briefly tuned" else "Fine-tuned"
    said = f"{what} it scored {new:.4g}, no better, so it stays as it was." if kept else _failed(what, after)
    note = " ".join(filter(None, (before.note, said)))
    return dataclasses.replace(before, climbed=(*before.climbed, tried), note=note), False


def _failed(what: str, after: Candidate) -> str:
    return f"{what} it failed, so it stays as it was: {after.note or 'no reason was given'}"


def spread(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """Return at most ``most`` of the candidates, evenly spread over their order, both ends among them.

    >>> from effwidgets.records import Plan
    >>> many = [Candidate(number=n, plan=Plan(), rung="repaired", state="done") for n in range(7)]
    >>> [known.number for known in spread(many, 3)]
    [0, 3, 6]
    """
    if len(candidates) <= most:
        return list(candidates)
    if most < 2:
        return list(candidates[len(candidates) // 2 :][:most])
    places = sorted({round(place * (len(candidates) - 1) / (most - 1)) for place in range(most)})
    return [candidates[place] for place in places]


def carried(before: Candidate, measures: Sequence[Score]) -> Candidate:
    """Return a candidate with more measures; those of the same name are replaced."""
    held = {score.metric: score for score in (*before.measures, *measures)}
    return dataclasses.replace(before, measures=tuple(held.values()))
