"""The static picture of a search: an SVG scatter with the staircase of the front, and the front as a table."""

from __future__ import annotations

from effwidgets.units import percent_text
from effwidgets.views.page import card, esc, mark, notes, tag
from effwidgets.views.scatter import draw_scatter
from effwidgets.views.wire import CandidateRow, ParetoPayload
from effwidgets.views.words import amount, clip, progress_text, score_writer, shown_name

__all__ = ["draw_html"]

_ROWS = 60
_ENDED = frozenset({"finished", "cancelled", "failed"})


def draw_html(data: ParetoPayload) -> str:
    """Return the picture. That of a search that ended stays beside the live view; that of a running one does not."""
    axis = data["axes"][0]
    rows = {row["number"]: row for row in data["candidates"]}
    front = [rows[number] for number in data["fronts"].get(axis, []) if number in rows]
    what = f"{data['metric']} against {shown_name(axis)}"
    header = (
        f"<header>{tag('b', data['title'])}{tag('span', what, 'q')}{tag('span', progress_text(data), 'q')}</header>"
    )
    parts = [header, draw_scatter(data, axis), _table(front, data)]
    if data["message"]:
        parts.append(tag("p", data["message"]))
    parts += [_foot(data, axis), notes(f"{data['failed']} failed, why?", _failures(data))]
    ended = data["state"] in _ENDED
    return card(parts, view="pareto", origin=data["origin"], label=f"Search over {data['title']}", result=ended)


def _table(front: list[CandidateRow], data: ParetoPayload) -> str:
    if not front:
        return tag("p", "No candidate has a score yet.")
    dense = next((row for row in data["candidates"] if row["number"] == data["dense"]), None)
    axes = data["axes"]
    head = '<th scope="col" class="n">#</th><th scope="col">On the front</th>'
    head += f'<th scope="col" class="n">{esc(data["metric"])}</th>'
    head += "".join(f'<th scope="col" class="n">{esc(shown_name(key))}</th>' for key in axes)
    write = score_writer(data)
    scores = {row["number"]: write(row["values"]["score"]) for row in front[:_ROWS]}
    body = "".join(_row(row, scores[row["number"]], dense, data) for row in front[:_ROWS])
    more = f"… and {len(front) - _ROWS:,} more on the front." if len(front) > _ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{tag('p', more) if more else ''}"


def _row(row: CandidateRow, score: str, dense: CandidateRow | None, data: ParetoPayload) -> str:
    axes = data["axes"]
    icon = f'<svg width="12" height="12" aria-hidden="true">{mark(row["family"], 6, 6, 4.5)}</svg>'
    signs = [word for word, key in (("knee", "knee"), ("applied", "applied")) if _is(row, data, key, axes[0])]
    sign = f' <b class="good">{", ".join(signs)}</b>' if signs else ""
    cells = [f'<td class="n q">{row["number"]}</td>']
    rung = "" if row["rung"] == "dense" else f' <span class="q">{esc(row["rung"])}</span>'
    cells.append(f'<th scope="row" class="w">{icon} {esc(clip(row["label"], 120))}{rung}{sign}</th>')
    cells.append(f'<td class="n">{score}</td>')
    for key in axes:
        value = row["values"].get(key)
        before = None if dense is None or dense is row else dense["values"].get(key)
        change = ""
        if value is not None and before:
            saved = value / before - 1
            kind = "good" if saved < 0 else "bad" if saved > 0 else "q"
            change = f' <span class="{kind}">{percent_text(saved)}</span>'
        cells.append(f'<td class="n">{amount(key, value)}{change}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _is(row: CandidateRow, data: ParetoPayload, key: str, axis: str) -> bool:
    return row["number"] == (data["applied"] if key == "applied" else data["knee"].get(axis))


def _foot(data: ParetoPayload, axis: str) -> str:
    volume = data["hypervolume"].get(axis)
    said = [f"Hypervolume {volume:.3f}"] if volume is not None else []
    said += [f"{len(data['candidates'])} candidates", "FLOPs are 2 × MACs", "changes are against the dense model"]
    return f"<footer>{' · '.join(said)}</footer>"


def _failures(data: ParetoPayload) -> list[str]:
    return [
        f"Candidate {row['number']} ({row['label']}): {row['note'] or 'no reason was given'}"
        for row in data["candidates"]
        if row["state"] == "failed"
    ]
