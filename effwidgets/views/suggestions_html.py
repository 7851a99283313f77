"""The suggestion list as static HTML."""

from __future__ import annotations

from effwidgets.units import count_text, percent_text
from effwidgets.views.page import card, esc, mark, notes, tag
from effwidgets.views.suggestions_cells import found_scores, peak_text, score_text, time_text
from effwidgets.views.wire import Preview, SkipRow, SuggestionRow, SuggestionsPayload
from effwidgets.views.words import amount, clip, common_warnings, diff_text, places, risk_text, share, shown_name

__all__ = ["draw_html"]

_ROWS = 60
_HEAD = tuple(
    f'<th scope="col"{kind}>{name}</th>'
    for name, kind in (
        ("#", ' class="n"'),
        ("What and where", ""),
        ("Parameters", ' class="n"'),
        ("FLOPs", ' class="n"'),
        ("Peak", ' class="n"'),
        ("Time, measured", ' class="n"'),
        ("Output error", ' class="n"'),
        ("Risk", ""),
        ("Score", ' class="n"'),
    )
)


def draw_html(data: SuggestionsPayload) -> str:
    """Return the list, best first, and behind a fold the places where nothing is offered, with the reason."""
    goal = shown_name(data["goal"])
    count = len(data["rows"])
    said = f"{count} suggestion{'s' if count != 1 else ''} for {data['title']}"
    header = f"<header><b>To save {esc(goal)}</b>{tag('span', said, 'q')}{tag('span', _now(data), 'q')}</header>"
    shared = common_warnings(data["rows"])
    rows = "".join(_row(row, data, shared) for row in data["rows"][:_ROWS])
    heads = "".join(_HEAD if found_scores(data) else _HEAD[:-1])
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    parts = [header, table if rows else tag("p", "Nothing here is worth doing; the reasons are below.")]
    parts += [f'<p><span class="bad">All of them: {esc(text)}</span></p>' for text in shared]
    if count > _ROWS:
        parts.append(tag("p", f"… and {count - _ROWS:,} more, each worth less."))
    if data["chosen"]:
        parts.append(tag("p", f"Kept by the budget: {', '.join(f'#{index}' for index in data['chosen'])}"))
    parts += [tag("p", note) for note in data["notes"]]
    if data["applied"] is not None:
        parts.append(tag("p", _applied(data["applied"], data)))
        parts += [tag("p", reason) for reason in data["applied"]["skipped"][:10]]
    parts.append(notes("What changed in the architecture", [diff_text(row) for row in data["diff"]]))
    if rows:
        foot = "Changes of the whole model, each suggestion alone. FLOPs are 2 × MACs. Time: of the piece that it "
        foot += "changes, measured on this machine beside what would stand there. Output error: measured on "
        parts.append(f"<footer>{foot}calibration data, before any repair.</footer>")
    skipped = sum(max(1, len(skip["layers"])) for skip in data["skips"])
    parts.append(notes(f"{skipped} places skipped, why?", _reasons(data["skips"])))
    return card(parts, view="suggestions", origin=data["origin"], label=f"Suggestions for {data['title']}")


def _now(data: SuggestionsPayload) -> str:
    whole = data["totals"]
    return f"now {count_text(whole['params'])} parameters, {count_text(2 * whole['macs'])} FLOPs"


def _row(row: SuggestionRow, data: SuggestionsPayload, shared: list[str]) -> str:
    whole = data["totals"]
    icon = f'<svg width="12" height="12" aria-hidden="true">{mark(row["family"], 6, 6, 4.5)}</svg>'
    warnings = "".join(
        f'<br><span class="bad">{esc(clip(text, 300))}</span>' for text in row["warnings"] if text not in shared
    )
    what = f"<b>{esc(clip(row['headline'], 120))}</b><br><span class='q'>{esc(clip(row['reason'], 400))}</span>"
    error = "–" if row["error"] is None else f"{row['error']:.1%}"
    cells = [
        f'<td class="n q">{row["index"]}</td>',
        f'<th scope="row" class="w">{icon} {what}{warnings}</th>',
        _change(row["params"], whole["params"]),
        _change(row["macs"], whole["macs"]),
        _coloured(row["inference_peak_bytes"] or 0, peak_text(row, data)),
        _coloured(row["latency"] or 0, time_text(row)),
        f'<td class="n">{error}</td>',
        f"<td>{risk_text(row['risk'], row['error'])}</td>",
        *([f'<td class="n">{score_text(row["score"])}</td>'] if found_scores(data) else []),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _change(change: float, whole: float) -> str:
    return _coloured(change, percent_text(share(change, whole)))


def _coloured(change: float, text: str) -> str:
    kind = "good" if change < 0 else "bad" if change > 0 else "q"
    return f'<td class="n {kind}">{text}</td>'


def _applied(done: Preview, data: SuggestionsPayload) -> str:
    whole = data["totals"]
    changes = [
        f"{amount(key, now)} {name} ({percent_text(share(now - before, before))})"
        for name, key, now, before in (
            ("parameters", "params", done["params"], whole["params"]),
            ("FLOPs", "macs", done["macs"], whole["macs"]),
        )
    ]
    count = len(done["indices"])
    return f"Applied {count} suggestion{'s' if count != 1 else ''}: {', '.join(changes)}."


def _reasons(skips: list[SkipRow]) -> list[str]:
    words = [(skip["transform"].replace("_", " ").capitalize(), places(skip["layers"])) for skip in skips]
    return [
        f"{what}{f' at {where}' if where else ''}: {skip['reason']}"
        for (what, where), skip in zip(words, skips, strict=True)
    ]
