"""How two candidates differ, down to the layers."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records import Candidate, Cost, Record, Score
from effwidgets.units import signed_text

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Record):
    """One place of the model: the modules that stand there in either candidate, one line of text each."""

    layer: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison(Record):
    """What changes from candidate ``a`` to candidate ``b``; ``str()`` gives it as lines of text.

    Attributes:
        a: number of the first.
        b: number of the second.
        change: cost of ``b`` minus cost of ``a``; None where one of them was not built.
        scores: by metric, score of ``b`` minus score of ``a``.
        layers: the places that differ.
    """

    a: int
    b: int
    change: Cost | None
    scores: tuple[Score, ...]
    layers: tuple[Difference, ...]

    def __repr__(self) -> str:
        return f"Comparison({self.a} and {self.b}: {len(self.layers)} places differ)"

    def __str__(self) -> str:
        lines = [f"Candidate {self.b} beside candidate {self.a}"]
        lines += [f"  {score.metric} {score.value:+.4g}" for score in self.scores]
        if self.change is not None:
            lines.append(f"  {signed_text(self.change.macs)} MACs, {signed_text(self.change.params)} params")
        for place in self.layers:
            lines.append(f"  {place.layer}")
            lines += [f"    - {text}" for text in place.before]
            lines += [f"    + {text}" for text in place.after]
        return "\n".join(lines)


def compare(a: Candidate, b: Candidate) -> Comparison:
    """Compare two candidates of one search."""
    change = None if a.cost is None or b.cost is None else b.cost - a.cost
    mine = {score.metric: score.value for score in a.scores}
    scores = tuple(
        Score(metric=score.metric, value=score.value - mine[score.metric]) for score in b.scores if score.metric in mine
    )
    return Comparison(a=a.number, b=b.number, change=change, scores=scores, layers=_differences(a, b))


def _differences(a: Candidate, b: Candidate) -> tuple[Difference, ...]:
    one, other = _places(a), _places(b)
    found = []
    for layer in dict.fromkeys([*one, *other]):
        dense = (one if layer in one else other)[layer].dense
        before, after = (tuple(side[layer].now.values()) if layer in side else (dense,) for side in (one, other))
        if before != after:
            found.append(Difference(layer=layer, before=before, after=after))
    return tuple(found)


@dataclass(slots=True)
class _Place:
    # A layer of the dense model: its text there, and what stands in its place now, by path.
    dense: str
    now: dict[str, str]


def _places(candidate: Candidate) -> dict[str, _Place]:
    # Replays the edits: a later one may change what an earlier one put in.
    places: dict[str, _Place] = {}
    roots: dict[str, str] = {}
    for edit in candidate.edits:
        for piece in edit.before:
            root = roots.setdefault(piece.layer, piece.layer)
            places.setdefault(root, _Place(piece.text, {})).now.pop(piece.layer, None)
        for piece in edit.after:
            holders = [held.layer for held in edit.before if f"{piece.layer}.".startswith(f"{held.layer}.")]
            root = roots[max(holders, key=len)] if holders else piece.layer
            roots[piece.layer] = root
            places.setdefault(root, _Place("", {})).now[piece.layer] = piece.text
    return places
