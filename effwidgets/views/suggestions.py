"""The suggestion list: what could be done, what it brings, and what speaks against it."""

from __future__ import annotations

from effwidgets.records import Desk, Progress, Suggestion, Suggestions, View
from effwidgets.units import count_text, percent_text
from effwidgets.views.suggestions_cells import found_scores, peak_text, score_text, time_text
from effwidgets.views.suggestions_figure import draw_figure
from effwidgets.views.suggestions_html import draw_html
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.totals import preview, totals
from effwidgets.views.wire import VERSION, SkipRow, Status, SuggestionRow, SuggestionsPayload
from effwidgets.views.words import GOALS, clip, common_warnings, diff_rows, places, risk_text, share, shown_name

__all__ = ["FIGURE", "HTML", "TEXT", "payload"]

_TEXT_ROWS = 30
_FURTHER_GOALS = ("saved_bytes", "download_bytes", "latency_s")


def payload(record: Desk | Suggestions) -> SuggestionsPayload:
    """Return what the page draws the suggestion list from; a `Desk` adds what was previewed, applied, undone."""
    desk = record if isinstance(record, Desk) else Desk(suggestions=record)
    found = desk.suggestions
    return {
        "view": "suggestions",
        "version": VERSION,
        "origin": found.origin,
        "title": found.model,
        "goal": found.goal,
        "goals": list(dict.fromkeys([*GOALS, *_FURTHER_GOALS, found.goal])),
        "totals": totals(found.cost, found.memory),
        "rows": [_row(index, one, found) for index, one in enumerate(found.suggestions)],
        "chosen": list(found.chosen),
        "notes": list(found.notes),
        "skips": _skips(found),
        "preview": preview(desk.preview),
        "applied": preview(desk.applied),
        "diff": [] if desk.applied is None else diff_rows(desk.applied.edits),
        "undo": desk.undo,
        "status": _status(desk.progress),
    }


def _row(index: int, one: Suggestion, found: Suggestions) -> SuggestionRow:
    after = one.memory_after
    peak = None if after is None else after.inference_peak_bytes - found.memory.inference_peak_bytes
    return {
        "index": index,
        "transform": one.step.transform,
        "family": one.family,
        "layers": list(one.step.layers),
        "headline": one.headline,
        "reason": one.reason,
        "warnings": list(one.warnings),
        "params": one.change.params,
        "macs": one.change.macs,
        "param_bytes": one.change.param_bytes,
        "inference_peak_bytes": peak,
        "latency": None if one.latency is None else one.latency.share,
        "latency_error": None if one.latency is None else one.latency.error_s / max(one.latency.whole_s, 1e-30),
        "error": one.error,
        "risk": one.risk,
        "score": one.score,
        "clashes": list(one.clashes),
    }


def _skips(found: Suggestions) -> list[SkipRow]:
    # What is said of many places alike is said once.
    rows: dict[tuple[str, str], SkipRow] = {}
    for skip in found.skips:
        row = rows.setdefault(
            (skip.transform, skip.reason), {"transform": skip.transform, "layers": [], "reason": skip.reason}
        )
        row["layers"] += skip.layers
    return list(rows.values())


def _status(progress: Progress) -> Status:
    return {
        "state": progress.state,
        "message": progress.message,
        "done": progress.done,
        "planned": progress.planned,
    }


def draw_text(record: Desk | Suggestions) -> str:
    """Write the list for a terminal: the index that `plan` takes, what and where, what it saves, why."""
    data = payload(record)
    whole = data["totals"]
    goal = shown_name(data["goal"])
    title = plain(clip(data["title"]))
    skipped = sum(max(1, len(skip["layers"])) for skip in data["skips"])
    lines = [
        f"{title}: {len(data['rows'])} suggestions to save {goal}, {skipped} places skipped",
        f"Now {count_text(whole['params'])} parameters · {count_text(2 * whole['macs'])} FLOPs (2 × MACs)",
    ]
    columns = [Column("#", right=True), Column("What and where")]
    names = ("Params", "FLOPs", "Peak", "Time", "Error", *(("Score",) if found_scores(data) else ()))
    columns += [Column(name, right=True) for name in names] + [Column("Risk")]
    rows = [_text_row(row, data) for row in data["rows"][:_TEXT_ROWS]]
    if rows:
        lines += ["", *table(columns, rows)]
        lines += _remarks(data["rows"][:_TEXT_ROWS])
    if data["chosen"]:
        lines += ["", f"Kept by the budget: {', '.join(f'#{index}' for index in data['chosen'])}"]
    lines += fold(data["notes"])
    if len(data["rows"]) > _TEXT_ROWS:
        lines.append(f"… and {len(data['rows']) - _TEXT_ROWS:,} more, each worth less.")
    if not rows:
        lines += ["", "Nothing here is worth doing.", *_reasons(data)]
    return "\n".join(lines)


def _text_row(row: SuggestionRow, data: SuggestionsPayload) -> list[str]:
    whole = data["totals"]
    error = "–" if row["error"] is None else f"{row['error']:.1%}"
    return [
        str(row["index"]),
        clip(" ".join(row["headline"].split()), 72),
        percent_text(share(row["params"], whole["params"])),
        percent_text(share(row["macs"], whole["macs"])),
        peak_text(row, data),
        time_text(row),
        error,
        *((score_text(row["score"]),) if found_scores(data) else ()),
        risk_text(row["risk"], row["error"]),
    ]


def _remarks(rows: list[SuggestionRow]) -> list[str]:
    # Bad news is never left out of a short form.
    shared = common_warnings(rows)
    said = [f"All: {warning}" for warning in shared]
    said += [f"#{row['index']}: {warning}" for row in rows for warning in row["warnings"] if warning not in shared]
    return ["", *fold(said)] if said else []


def _reasons(data: SuggestionsPayload) -> list[str]:
    return fold([f"{places(skip['layers'], most=1)}: {skip['reason']}" for skip in data["skips"][:8]], indent="  ")


TEXT = View(shows=Suggestions, medium="text", draw=draw_text, title="Suggestions", default=True)
HTML = View(
    shows=Suggestions, medium="html", draw=lambda record: draw_html(payload(record)), title="Suggestions", default=True
)
FIGURE = View(
    shows=Suggestions,
    medium="figure",
    draw=lambda record: draw_figure(payload(record)),
    title="What each suggestion changes",
    default=True,
)
