"""The Pareto view: every candidate's cost against its score, and the front that no other beats."""

from __future__ import annotations

import math
from collections.abc import Callable

from effwidgets.records import Candidate, Climb, StudyState, View
from effwidgets.views.families import family_of_steps
from effwidgets.views.pareto_figure import draw_figure as figure_of
from effwidgets.views.pareto_html import draw_html
from effwidgets.views.rungs import way_up
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.wire import VERSION, CandidateRow, ClimbRow, ParetoPayload, StepRow
from effwidgets.views.words import (
    GOALS,
    amount,
    clip,
    diff_rows,
    plan_text,
    progress_text,
    score_writer,
    shown_name,
    step_row,
)

__all__ = ["FIGURE", "HTML", "TEXT", "payload"]

_TEXT_ROWS = 40
_MOST_VOLUMES = 200


def payload(state: StudyState) -> ParetoPayload:
    """Return what the page draws the Pareto view from."""
    states = [candidate.state for candidate in state.candidates]
    dense = next((one.number for one in state.candidates if one.rung == "dense"), None)
    return {
        "view": "pareto",
        "version": VERSION,
        "origin": state.origin,
        "title": state.title,
        "state": state.state,
        "done": states.count("done") + states.count("failed"),
        "planned": state.planned,
        "failed": states.count("failed"),
        "seconds_left": _number(state.seconds_left),
        "message": state.message,
        "metric": state.metric,
        "metric_better": state.better,
        "axes": [front.axis for front in state.fronts] or list(GOALS),
        "candidates": [_row(candidate) for candidate in state.candidates],
        "dense": dense,
        "fronts": {front.axis: list(front.numbers) for front in state.fronts},
        "hypervolume": {front.axis: _number(front.hypervolume) for front in state.fronts},
        "knee": {front.axis: front.knee for front in state.fronts},
        "applied": state.applied,
        "objectives": list(state.objectives),
        "budgets": {budget.axis: budget.limit for budget in state.budgets},
        "volumes": _thinned(state.volumes),
        "contributions": {share.metric: share.value for share in state.contributions},
    }


def _thinned(values: tuple[float, ...]) -> list[float]:
    # A curve on a screen has no more places than that.
    if len(values) <= _MOST_VOLUMES:
        return list(values)
    return [values[round(place * (len(values) - 1) / (_MOST_VOLUMES - 1))] for place in range(_MOST_VOLUMES)]


def _row(candidate: Candidate) -> CandidateRow:
    return {
        "number": candidate.number,
        "label": plan_text(candidate.plan.steps, candidate.edits),
        "family": family_of_steps(step.transform for step in candidate.plan),
        "state": candidate.state,
        "rung": candidate.rung,
        "parent": candidate.parent,
        "values": _values(candidate),
        "errors": _errors(candidate),
        "climbed": [_climb(climb) for climb in candidate.climbed],
        "source": candidate.source,
        "seed": candidate.seed,
        "steps": _steps(candidate),
        "diff": diff_rows(candidate.edits),
        "note": candidate.note,
        "seconds": candidate.seconds,
    }


def _values(candidate: Candidate) -> dict[str, float | None]:
    cost, memory = candidate.cost, candidate.memory
    return {
        **{measure.metric: _number(measure.value) for measure in candidate.measures},
        "macs": None if cost is None else cost.macs,
        "params": None if cost is None else cost.params,
        "param_bytes": None if memory is None else memory.param_bytes,
        "inference_peak_bytes": None if memory is None else memory.inference_peak_bytes,
        "score": _number(candidate.score()),
    }


def _errors(candidate: Candidate) -> dict[str, float]:
    measured = {measure.metric: measure.error for measure in candidate.measures}
    measured["score"] = next((score.error for score in candidate.scores), None)
    return {name: error for name, error in measured.items() if _number(error) is not None and error is not None}


def _climb(climb: Climb) -> ClimbRow:
    score = next((score.value for score in climb.scores), None)
    return {"rung": climb.rung, "score": _number(score), "seconds": climb.seconds}


def _number(value: float | None) -> float | None:
    # JSON knows neither NaN nor infinity.
    return value if value is not None and math.isfinite(value) else None


def _steps(candidate: Candidate) -> list[StepRow]:
    edits = {edit.step: edit for edit in candidate.edits}
    return [step_row(step, edits.get(step)) for step in candidate.plan]


def draw_text(state: StudyState) -> str:
    """Write the search for a terminal: how far it is, then the front from cheap to dear."""
    data = payload(state)
    axis = data["axes"][0]
    lines = [f"{plain(clip(data['title']))}: {data['metric']} against {shown_name(axis)} · {progress_text(data)}"]
    by_number = {row["number"]: row for row in data["candidates"]}
    front = [by_number[number] for number in data["fronts"].get(axis, []) if number in by_number]
    columns = [Column("#", right=True), Column("What"), Column(shown_name(axis), right=True)]
    columns += [Column(data["metric"], right=True), Column("Rung")]
    write = score_writer(data)
    rows = [_text_row(row, axis, write) for row in front[:_TEXT_ROWS]]
    if rows:
        lines += ["", *table(columns, rows)]
        lines.append(f"The front of {len(data['candidates'])} candidates, from cheap to dear. FLOPs are 2 × MACs.")
    else:
        lines.append("No candidate has a score yet.")
    failed = [row for row in data["candidates"] if row["state"] == "failed"]
    lines += fold([f"Candidate {row['number']} failed: {row['note']}" for row in failed[:5]])
    return "\n".join(lines)


def _text_row(row: CandidateRow, axis: str, write: Callable[[float | None], str]) -> list[str]:
    label = clip(" ".join(row["label"].split()), 56)
    error = row["errors"].get(axis)
    return [
        str(row["number"]),
        label,
        amount(axis, row["values"][axis]) + (f" ± {amount(axis, error)}" if error else ""),
        write(row["values"]["score"]),
        way_up(row, write),
    ]


TEXT = View(shows=StudyState, medium="text", draw=draw_text, title="Pareto front", default=True)
HTML = View(
    shows=StudyState, medium="html", draw=lambda state: draw_html(payload(state)), title="Pareto front", default=True
)
FIGURE = View(
    shows=StudyState, medium="figure", draw=lambda state: figure_of(payload(state)), title="Pareto front", default=True
)
