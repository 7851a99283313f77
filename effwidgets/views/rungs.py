"""How far a candidate was taken: in words, with the way up, and as a sign at its mark. Shape, never colour alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from effwidgets.records import RUNGS
from effwidgets.views.families import family
from effwidgets.views.page import mark
from effwidgets.views.wire import CandidateRow, ClimbRow

__all__ = ["earlier", "rung_mark", "rungs_of", "source_text", "way_up"]

_SOURCES = {
    "dense": "the model as it is",
    "ladder": "from the ladder of advice",
    "advice": "from the advice",
    "user": "a plan of yours",
}


def rungs_of(rows: Iterable[CandidateRow]) -> list[str]:
    """Return the rungs that any of these is on, from low to high, the dense model aside."""
    found = {row["rung"] for row in rows}
    return [rung for rung in RUNGS if rung in found and rung != "dense"]


def earlier(row: CandidateRow) -> list[ClimbRow]:
    """Return the rungs below the one that a candidate is on, as it climbed them."""
    place = _place(row["rung"])
    return [climb for climb in row["climbed"] if _place(climb["rung"]) < place]


def _place(rung: str) -> int:
    names: tuple[str, ...] = RUNGS
    return names.index(rung) if rung in names else 0


def way_up(row: CandidateRow, write: Callable[[float | None], str]) -> str:
    """Write the rung of a candidate with its scores on the way; what was tried above and was no better is said.

    >>> from typing import Any
    >>> climb = {"rung": "repaired", "score": 0.91, "seconds": 1.0}
    >>> row: Any = {"rung": "fine-tuned", "climbed": [climb], "values": {"score": 0.97}}
    >>> way_up(row, str)
    'repaired 0.91 → fine-tuned 0.97'
    """
    below = earlier(row)
    steps = [f"{climb['rung']} {_score(climb, write)}" for climb in below]
    said = " → ".join([*steps, f"{row['rung']} {write(row['values']['score'])}"]) if steps else row["rung"]
    above = [climb for climb in row["climbed"] if climb not in below]
    worse = [
        f"{climb['rung']} failed"
        if climb["score"] is None
        else f"{climb['rung']} {write(climb['score'])} was no better"
        for climb in above
    ]
    return "; ".join([said, *worse])


def _score(climb: ClimbRow, write: Callable[[float | None], str]) -> str:
    return "failed" if climb["score"] is None else write(climb["score"])


def source_text(source: str) -> str:
    """Write who thought of a candidate.

    >>> source_text("tpe"), source_text("user"), source_text("")
    ('proposed by TPE', 'a plan of yours', '')
    """
    if not source:
        return ""
    name = "NSGA-II" if source == "nsga2" else source.upper() if source == "tpe" else source
    return _SOURCES.get(source) or f"proposed by {name}"


def rung_mark(name: str, rung: str, x: float, y: float, radius: float = 5.5) -> str:
    """Return the mark of a candidate as SVG: hollow as changed, filled when repaired, ringed when trained.

    A dashed ring is a little training, a whole one is all of it.
    """
    drawn = mark(name, x, y, radius)
    if rung == "zero-shot":
        return drawn + mark(name, x, y, 0.5 * radius, "var(--effdl-ground)")
    if rung not in ("briefly tuned", "fine-tuned"):
        return drawn
    dashes = ' stroke-dasharray="2.4 2"' if rung == "briefly tuned" else ""
    colour = f"var(--effdl-{family(name).name})"
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius + 3.4:.1f}" fill="none" stroke="{colour}"'
    return f'{drawn}{ring} stroke-width="1.4"{dashes}/>'
