"""The static picture of a search: an SVG scatter with the staircase of the front, and the front as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from effwidgets.units import percent_text
from effwidgets.views.page import card, esc, notes, tag
from effwidgets.views.rungs import rung_mark, way_up
from effwidgets.views.scatter import draw_scatter
from effwidgets.views.wire import CandidateRow, ParetoPayload
from effwidgets.views.words import amount, clip, progress_text, score_writer, shown_name

__all__ = ["draw_html", "failures", "front_rows", "front_table", "lost_without", "sparkline"]

_ROWS = 60
_ENDED = frozenset({"finished", "cancelled", "failed"})


def draw_html(data: ParetoPayload) -> str:
    """Return the picture. That of a search that ended stays beside the live view; that of a running one does not."""
    axis = data["axes"][0]
    what = f"{data['metric']} against {shown_name(axis)}"
    header = (
        f"<header>{tag('b', data['title'])}{tag('span', what, 'q')}{tag('span', progress_text(data), 'q')}</header>"
    )
    parts = [header, draw_scatter(data, axis), front_table(data, axis)]
    if data["message"]:
        parts.append(tag("p", data["message"]))
    parts += [_foot(data, axis), notes(f"{data['failed']} failed, why?", failures(data))]
    ended = data["state"] in _ENDED
    return card(parts, view="pareto", origin=data["origin"], label=f"Search over {data['title']}", result=ended)


def front_rows(data: ParetoPayload, axis: str) -> list[CandidateRow]:
    """Return the candidates on the front of a cost, from cheap to dear."""
    rows = {row["number"]: row for row in data["candidates"]}
    return [rows[number] for number in data["fronts"].get(axis, []) if number in rows]


def front_table(
    data: ParetoPayload, axis: str, *, linked: Collection[int] = (), doubts: Mapping[int, str] | None = None
) -> str:
    """Return the front as a table, its own cost first.

    Args:
        data: the search.
        axis: the cost.
        linked: candidates that the page tells more about, at ``candidate-<number>``.
        doubts: by candidate, how sure its place is; a column of its own. None: no column.
    """
    front = front_rows(data, axis)
    if not front:
        return tag("p", "No candidate has a score yet.")
    axes = [axis, *(key for key in data["axes"] if key != axis and _known(front, key))]
    heads = [('class="n"', "#"), ("", "On the front"), ('class="n"', data["metric"])]
    heads += [('class="n"', shown_name(key)) for key in axes]
    heads += [("", "May be beaten")] * (doubts is not None)
    head = "".join(f'<th scope="col" {kind}>{esc(name)}</th>' for kind, name in heads)
    draw = _Rows(data, axes, linked, doubts)
    body = "".join(map(draw.row, front[:_ROWS]))
    more = f"… and {len(front) - _ROWS:,} more on the front." if len(front) > _ROWS else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return table + (tag("p", more) if more else "")


def _known(front: list[CandidateRow], key: str) -> bool:
    return any(row["values"].get(key) is not None for row in front)


class _Rows:
    # What all rows of a front's table share.
    def __init__(
        self, data: ParetoPayload, axes: list[str], linked: Collection[int], doubts: Mapping[int, str] | None
    ) -> None:
        self._data = data
        self._axes = axes
        self._linked = linked
        self._doubts = doubts
        self._write = score_writer(data)
        self._dense = next((row for row in data["candidates"] if row["number"] == data["dense"]), None)

    def row(self, row: CandidateRow) -> str:
        number = row["number"]
        name = f'<a href="#candidate-{number}">{number}</a>' if number in self._linked else str(number)
        cells = [f'<td class="n q">{name}</td>', self._what(row)]
        cells.append(f'<td class="n">{self._write(row["values"]["score"])}{_error(row, "score", self._write)}</td>')
        cells += [self._cost(row, key) for key in self._axes]
        if self._doubts is not None:
            cells.append(f'<td class="q">{esc(self._doubts.get(number, ""))}</td>')
        return f"<tr>{''.join(cells)}</tr>"

    def _what(self, row: CandidateRow) -> str:
        picture = rung_mark(row["family"], row["rung"], 9, 9, 4.5)
        icon = f'<svg width="18" height="18" aria-hidden="true" style="vertical-align:-.3em">{picture}</svg>'
        data = self._data
        found = ((data["knee"].get(self._axes[0]), "knee"), (data["applied"], "applied"))
        signs = [word for number, word in found if number == row["number"]]
        sign = f' <b class="good">{", ".join(signs)}</b>' if signs else ""
        rung = "" if row["rung"] == "dense" else f'<br><span class="q">{esc(way_up(row, self._write))}</span>'
        return f'<th scope="row" class="w">{icon} {esc(clip(row["label"], 120))}{sign}{rung}</th>'

    def _cost(self, row: CandidateRow, key: str) -> str:
        value = row["values"].get(key)
        dense = self._dense
        before = None if dense is None or dense is row else dense["values"].get(key)
        change = ""
        if value is not None and before:
            saved = value / before - 1
            kind = "good" if saved < 0 else "bad" if saved > 0 else "q"
            change = f' <span class="{kind}">{percent_text(saved)}</span>'
        return f'<td class="n">{amount(key, value)}{_error(row, key, lambda error: amount(key, error))}{change}</td>'


def _error(row: CandidateRow, key: str, write: Callable[[float | None], str]) -> str:
    error = row["errors"].get(key)
    return f' <span class="q">± {write(error)}</span>' if error else ""


def sparkline(volumes: list[float], *, width: int = 120, height: int = 22) -> str:
    """Return how a hypervolume grew as a small picture; nothing with fewer than two numbers.

    >>> sparkline([0.5])
    ''
    """
    if len(volumes) < 2:
        return ""
    low, high = min(volumes), max(volumes)
    steps = []
    for index, value in enumerate(volumes):
        across = 2 + (width - 4) * index / (len(volumes) - 1)
        down = height - 3 - (height - 6) * ((value - low) / (high - low) if high > low else 0.5)
        steps.append(f"{'H' if index else 'M'}{across:.1f}{'V' if index else ' '}{down:.1f}")
    said = f"Hypervolume after each result, from {volumes[0]:.3f} to {volumes[-1]:.3f}"
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="{said}" style="vertical-align:-.4em">'
        f'<path d="{"".join(steps)}" style="fill:none;stroke:var(--effdl-accent);stroke-width:1.5"/></svg>'
    )


def lost_without(contributions: Mapping[str, float]) -> str:
    """Write what each technique brings, the most first; those that bring nothing last.

    >>> lost_without({"low_rank": 0.25, "channel_prune": 0.125})
    'low rank 25%, channel prune 12%'
    """
    ranked = sorted(contributions.items(), key=lambda item: -item[1])
    return ", ".join(f"{name.replace('_', ' ')} {percent_text(share).lstrip('+')}" for name, share in ranked)


def _foot(data: ParetoPayload, axis: str) -> str:
    volume = data["hypervolume"].get(axis)
    said = []
    if volume is not None:
        same = axis == (data["objectives"] or data["axes"])[0]
        said.append(f"Hypervolume {volume:.3f} {sparkline(data['volumes']) if same else ''}".strip())
    if data["contributions"]:
        said.append(esc(f"of it lost without {lost_without(data['contributions'])}"))
    budgets = [f"{shown_name(key)} ≤ {amount(key, limit)}" for key, limit in data["budgets"].items()]
    said += [esc(f"budget{'s' * (len(budgets) > 1)} {', '.join(budgets)}")] if budgets else []
    said += [f"{len(data['candidates'])} candidates", "FLOPs are 2 × MACs", "changes are against the dense model"]
    return f"<footer>{' · '.join(said)}</footer>"


def failures(data: ParetoPayload) -> list[str]:
    """Return a sentence for each candidate that failed: which and why."""
    return [
        f"Candidate {row['number']} ({row['label']}): {row['note'] or 'no reason was given'}"
        for row in data["candidates"]
        if row["state"] == "failed"
    ]
