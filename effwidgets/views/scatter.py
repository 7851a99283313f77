"""The scatter of a search as SVG: marks by family, the front as a staircase, the dense model ringed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from html import escape

from effwidgets.views.families import family
from effwidgets.views.page import mark
from effwidgets.views.rungs import earlier, rung_mark, rungs_of
from effwidgets.views.scale import Scale, scale_over, staircase
from effwidgets.views.wire import CandidateRow, ParetoPayload
from effwidgets.views.words import amount, clip, score_writer, shown_name

__all__ = ["draw_scatter"]

_WIDTH, _HEIGHT = 900, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 24, 34, 70
_MARKS = 1500  # beyond that a static picture is a blot; the table below it has the front


def draw_scatter(data: ParetoPayload, axis: str, *, linked: Collection[int] = ()) -> str:
    """Return the picture for one cost axis; an empty string while no candidate has both numbers.

    The marks of candidates in ``linked`` lead to the element ``candidate-<number>`` of the same page.
    """
    rows = [row for row in data["candidates"] if row["values"].get(axis) is not None]
    rows = [row for row in rows if row["values"]["score"] is not None]
    if not rows:
        return ""
    front = [row for number in data["fronts"].get(axis, []) for row in rows if row["number"] == number]
    rows = rows if len(rows) <= _MARKS else [*rows[:_MARKS], *front]
    x = scale_over([_cost(row, axis) for row in rows], _LEFT, _WIDTH - _RIGHT, from_zero=True)
    y = scale_over([_score(row) for row in rows], _HEIGHT - _BOTTOM, _TOP)
    upward = data["metric_better"] == "higher"
    write = score_writer(data)
    body = [*_grid(write, x, y, axis), *_front(front, axis, x, y, upward=upward), *_budget(data, axis, x, y)]
    body += [*_errors(rows, front, axis, x, y), *_climbs(front, axis, x, y)]
    on_front = {row["number"] for row in front}
    body += [*_chosen(data, rows, axis, x, y), *_labels(data, rows, axis, x, y)]
    for row in rows:
        said = f"{write(row['values']['score'])} at {amount(axis, row['values'][axis])}"
        at = (x(_cost(row, axis)), y(_score(row)))
        drawn = _marked(row, said, at, faded=row["number"] not in on_front)
        name = f"Candidate {row['number']}, {said}: {row['rung']}"
        known = row["number"] in linked
        body.append(f'<a href="#candidate-{row["number"]}" aria-label="{escape(name)}">{drawn}</a>' if known else drawn)
    names = dict.fromkeys(row["family"] for row in rows)
    body += [_axis_titles(data, axis), *_legend([name for name in names if name != "dense"], rungs_of(rows))]
    best = max(rows, key=lambda row: _score(row) if upward else -_score(row))
    summary = (
        f"Scatter of {len(rows)} candidates, {data['metric']} against {shown_name(axis)}; {len(front)} on the front; "
        f"best score {write(best['values']['score'])} at {amount(axis, best['values'][axis])}."
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(summary)}" font-size="12" '
        f'style="display:block;width:100%;min-width:36rem;height:auto;border-top:1px solid var(--effdl-line)">'
        f"{''.join(body)}</svg>"
    )


def _cost(row: CandidateRow, axis: str) -> float:
    return row["values"][axis] or 0.0


def _score(row: CandidateRow) -> float:
    return row["values"]["score"] or 0.0


def _grid(write: Callable[[float | None], str], x: Scale, y: Scale, axis: str) -> list[str]:
    lines = []
    for value in _whole_ticks(x, axis):
        at = x(value)
        lines.append(_line(at, y.start, at, y.start + 4))
        lines.append(_text(at, y.start + 19, amount(axis, value), "middle"))
    for value in y.ticks(5):
        lines.append(_line(x.start, y(value), x.end, y(value)))
        lines.append(_text(x.start - 8, y(value) + 4, write(value).replace(".0%", "%"), "end"))
    return lines


def _whole_ticks(x: Scale, axis: str) -> list[float]:
    # Ticks are round in what the reader sees: FLOPs, not MACs.
    if axis != "macs":
        return x.ticks()
    return [value / 2 for value in Scale(2 * x.low, 2 * x.high, x.start, x.end).ticks()]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" style="stroke:var(--effdl-line)"/>'


def _text(x: float, y: float, text: str, anchor: str, style: str = "fill:var(--effdl-quiet)") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}">{escape(text)}</text>'


def _front(front: list[CandidateRow], axis: str, x: Scale, y: Scale, *, upward: bool) -> list[str]:
    corners = staircase([(_cost(row, axis), _score(row)) for row in front], x.high)
    if not corners:
        return []
    path = "L".join(f"{x(cost):.1f} {y(score):.1f}" for cost, score in corners)
    floor = y.start if upward else y.end
    tint = f"M{x(corners[0][0]):.1f} {floor:.1f}L{path}L{x(x.high):.1f} {floor:.1f}Z"
    return [
        f'<path d="{tint}" style="fill:var(--effdl-accent);opacity:.07"/>',
        f'<path d="M{path}" style="fill:none;stroke:var(--effdl-accent);stroke-width:2"/>',
    ]


def _budget(data: ParetoPayload, axis: str, x: Scale, y: Scale) -> list[str]:
    limit = data["budgets"].get(axis)
    if limit is None:
        return []
    at = x(min(max(limit, x.low), x.high))
    over = f'<rect x="{at:.1f}" y="{y.end:.1f}" width="{x.end - at:.1f}" height="{y.start - y.end:.1f}"'
    return [
        f'{over} style="fill:var(--effdl-text);opacity:.05"/>',
        (
            f'<path d="M{at:.1f} {y.start:.1f}V{y.end - 6:.1f}" '
            'style="stroke:var(--effdl-quiet);stroke-width:1.4" stroke-dasharray="4 3"/>'
        ),
        _text(at, y.end - 10, f"budget ≤ {amount(axis, limit)}", "middle" if at < x.end - 60 else "end", _HALO),
    ]


def _errors(rows: list[CandidateRow], front: list[CandidateRow], axis: str, x: Scale, y: Scale) -> list[str]:
    # Half-widths of intervals, where a cost or a score was measured with one.
    kept, drawn = {row["number"] for row in front}, []
    for row in rows:
        across, down = row["errors"].get(axis, 0.0), row["errors"].get("score", 0.0)
        cost, score = _cost(row, axis), _score(row)
        path = f"M{x(cost - across):.1f} {y(score):.1f}H{x(cost + across):.1f}" if across else ""
        path += f"M{x(cost):.1f} {y(score - down):.1f}V{y(score + down):.1f}" if down else ""
        if path:
            shade = ".9" if row["number"] in kept else ".35"
            colour = f"var(--effdl-{family(row['family']).name})"
            drawn.append(f'<path class="error" d="{path}" opacity="{shade}" style="stroke:{colour};stroke-width:1.4"/>')
    return drawn


def _climbs(front: list[CandidateRow], axis: str, x: Scale, y: Scale) -> list[str]:
    # From the score that training began at; what lies below the picture is cut off at its floor.
    drawn = []
    for row in front:
        scores = [climb["score"] for climb in earlier(row) if climb["score"] is not None]
        if not scores:
            continue
        at, low, high = x(_cost(row, axis)), min(y.start, y.end), max(y.start, y.end)
        begun = min(max(y(scores[-1]), low), high)
        drawn.append(
            f'<path class="climb" d="M{at - 4:.1f} {begun:.1f}H{at + 4:.1f}M{at:.1f} {begun:.1f}V{y(_score(row)):.1f}" '
            'style="stroke:var(--effdl-quiet);stroke-width:1.2" stroke-dasharray="1.5 2.5"/>'
        )
    return drawn


def _marked(row: CandidateRow, said: str, at: tuple[float, float], *, faded: bool) -> str:
    dense = row["family"] == "dense"
    drawn = mark("dense", *at, 7.0) if dense else rung_mark(row["family"], row["rung"], *at)
    rung = "" if dense else f", {row['rung']}"
    title = f"{row['number']}: {clip(row['label'], 120)}, {said}{rung}"
    opacity = ' opacity=".4"' if faded and not dense else ""
    return f'<g data-number="{row["number"]}"{opacity}><title>{escape(title)}</title>{drawn}</g>'


def _labels(data: ParetoPayload, rows: list[CandidateRow], axis: str, x: Scale, y: Scale) -> list[str]:
    names: dict[int | None, list[str]] = {}
    for number, word in ((data["dense"], "dense"), (data["knee"].get(axis), "knee"), (data["applied"], "applied")):
        names.setdefault(number, []).append(word)
    labels = []
    for row in rows:
        words = names.get(row["number"], [])
        if not words:
            continue
        across, down = x(_cost(row, axis)), y(_score(row))
        said = " · ".join([*words, f"candidate {row['number']}"])
        if words == ["dense"]:
            labels.append(_text(across, down - 13, "dense", "middle", _HALO))
            continue
        # A front rises to the right: right of and below one of its marks lies only what it beats.
        after = across < _WIDTH * 0.75
        labels.append(_text(across + (13 if after else -13), down + 20, said, "start" if after else "end", _HALO))
    return labels


def _chosen(data: ParetoPayload, rows: list[CandidateRow], axis: str, x: Scale, y: Scale) -> list[str]:
    # An arrow from the dense model to the one that was applied.
    at = {row["number"]: (x(_cost(row, axis)), y(_score(row))) for row in rows}
    dense, applied = at.get(_or(data["dense"])), at.get(_or(data["applied"]))
    if dense is None or applied is None or dense == applied:
        return []
    bend_x, bend_y = (dense[0] + applied[0]) / 2, min(dense[1], applied[1]) - 0.12 * abs(dense[0] - applied[0])
    length = math.hypot(applied[0] - bend_x, applied[1] - bend_y) or 1.0
    dx, dy = (applied[0] - bend_x) / length, (applied[1] - bend_y) / length
    tip_x, tip_y = applied[0] - 11 * dx, applied[1] - 11 * dy
    wings = [(tip_x - 9 * dx - 4 * side * dy, tip_y - 9 * dy + 4 * side * dx) for side in (1, -1)]
    head = "L".join(f"{across:.1f} {down:.1f}" for across, down in [(tip_x, tip_y), *wings])
    curve = f"M{dense[0]:.1f} {dense[1]:.1f}Q{bend_x:.1f} {bend_y:.1f} {tip_x:.1f} {tip_y:.1f}"
    ring = "fill:none;stroke:var(--effdl-accent);stroke-width:2"
    return [
        f'<path d="{curve}" style="fill:none;stroke:var(--effdl-quiet);stroke-width:1.2"/>',
        f'<path d="M{head}Z" style="fill:var(--effdl-quiet)"/>',
        f'<circle cx="{applied[0]:.1f}" cy="{applied[1]:.1f}" r="10" style="{ring}"/>',
    ]


def _or(number: int | None) -> int:
    return -1 if number is None else number


_HALO = "fill:var(--effdl-text);font-weight:600;paint-order:stroke;stroke:var(--effdl-ground);stroke-width:4px"


def _axis_titles(data: ParetoPayload, axis: str) -> str:
    cost = f"{shown_name(axis)}{' (2 × MACs)' if axis == 'macs' else ''}, less is better"
    return _text(_WIDTH - _RIGHT, _HEIGHT - _BOTTOM + 40, cost, "end") + _text(
        12, 16, f"{data['metric']}, {data['metric_better']} is better", "start"
    )


def _legend(names: list[str], rungs: list[str]) -> list[str]:
    drawn, across = [], float(_LEFT)
    entries = [(mark(name, 0, 0, 5), family(name).title) for name in names]
    if rungs not in ([], ["repaired"]):
        entries += [(_sign(rung), rung) for rung in rungs]
    for sign, title in entries:
        drawn.append(f'<g transform="translate({across + 6:.1f} {_HEIGHT - 16})">{sign}</g>')
        drawn.append(_text(across + 19, _HEIGHT - 12, title, "start"))
        across += 44 + 6.6 * len(title)
    return drawn


def _sign(rung: str) -> str:
    return rung_mark("factorize", rung, 0, 0, 4.5).replace("--effdl-factorize", "--effdl-quiet")
