"""The candidates of a report: those worth a closer look with their layers and recipe, and all of them as a table."""

from __future__ import annotations

from collections.abc import Collection

from effwidgets.records import Candidate, SearchReport
from effwidgets.units import percent_text, seconds_text
from effwidgets.views.page import esc, figures, tag
from effwidgets.views.pareto_html import front_rows
from effwidgets.views.rungs import rung_mark, source_text, way_up
from effwidgets.views.wire import CandidateRow, DiffRow, ParetoPayload
from effwidgets.views.words import amount, clip, score_writer, shown_name

__all__ = ["all_rows", "closer", "looked_at"]

_LOOKS = 40
_PLACES = 400
_ROWS = 2000


def looked_at(report: SearchReport, data: ParetoPayload) -> list[Candidate]:
    """Return what the report tells more about: the chosen candidates, then the fronts'; never the dense one."""
    fronts = [row["number"] for axis in data["axes"] for row in front_rows(data, axis)]
    known = {candidate.number: candidate for candidate in report.state.candidates}
    numbers = [number for number in dict.fromkeys([*report.chosen, *fronts]) if number != data["dense"]]
    return [known[number] for number in numbers if number in known][:_LOOKS]


def closer(report: SearchReport, data: ParetoPayload, looks: list[Candidate]) -> str:
    """Return what each of these changes: its numbers, its way up, its layers before and after, its recipe."""
    rows = {row["number"]: row for row in data["candidates"]}
    if not looks:
        return tag("p", "No candidate has a score yet.")
    return "".join(
        _look(candidate, rows[candidate.number], data, open_=candidate.number in report.chosen) for candidate in looks
    )


def _look(candidate: Candidate, row: CandidateRow, data: ParetoPayload, *, open_: bool) -> str:
    write = score_writer(data)
    picture = rung_mark(row["family"], row["rung"], 9, 9, 4.5)
    icon = f'<svg width="18" height="18" aria-hidden="true" style="vertical-align:-.3em">{picture}</svg>'
    said = f"{write(row['values']['score'])} at {amount(data['axes'][0], row['values'][data['axes'][0]])}"
    head = f"{icon} <b>Candidate {row['number']}</b> {esc(clip(row['label'], 120))} "
    signs = [word for word, number in _signs(data) if number == row["number"]]
    head += f'<b class="good">{", ".join(signs)}</b> ' if signs else ""
    head += f'<span class="q">{esc(said)} {esc(shown_name(data["axes"][0]))}</span>'
    born = [source_text(row["source"]), f"seed {row['seed']}", f"{seconds_text(row['seconds'])} of work"]
    born += [f"from candidate {row['parent']}"] if row["parent"] else []
    parts = [_numbers(row, data), tag("p", way_up(row, write)), tag("p", " · ".join(filter(None, born)), "q")]
    if row["note"]:
        parts.append(tag("p", clip(row["note"], 600), "q"))
    if row["diff"]:
        parts.append(_diff(row["diff"]))
    recipe = esc(str(candidate.plan.to_json(indent=1)))
    count = len(candidate.plan.steps)
    parts.append(
        f"<details><summary>Recipe: {count} step{'s' * (count != 1)} as JSON</summary>"
        f'<pre tabindex="0"><code>{recipe}</code></pre></details>'
    )
    body = f'<div id="candidate-{row["number"]}">{"".join(parts)}</div>'
    return f'<details class="look"{" open" * open_}><summary>{head}</summary>{body}</details>'


def _signs(data: ParetoPayload) -> list[tuple[str, int | None]]:
    return [("applied", data["applied"]), ("knee", data["knee"].get(data["axes"][0]))]


def _numbers(row: CandidateRow, data: ParetoPayload) -> str:
    dense = next((one for one in data["candidates"] if one["number"] == data["dense"]), None)
    write = score_writer(data)
    error = row["errors"].get("score")
    facts = [(data["metric"], write(row["values"]["score"]) + (f" ± {write(error)}" if error else ""), "")]
    for key in data["axes"]:
        value = row["values"].get(key)
        if value is None:
            continue
        off = row["errors"].get(key)
        before = None if dense is None else dense["values"].get(key)
        change = percent_text(value / before - 1) if before else ""
        facts.append((shown_name(key), amount(key, value) + (f" ± {amount(key, off)}" if off else ""), change))
    return figures(facts)


def _diff(rows: list[DiffRow]) -> str:
    body = "".join(
        f'<tr><th scope="row" class="w">{esc(clip(row["layer"], 90)) or "the model itself"}</th><td>'
        + "".join(f"<del>− {esc(text)}</del>" for text in row["before"])
        + "".join(f"<ins>+ {esc(text)}</ins>" for text in row["after"])
        + "</td></tr>"
        for row in rows[:_PLACES]
    )
    more = tag("p", f"… and {len(rows) - _PLACES:,} more places.") if len(rows) > _PLACES else ""
    head = '<tr><th scope="col">Layer</th><th scope="col">Before and after</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def all_rows(data: ParetoPayload, linked: Collection[int]) -> str:
    """Return every candidate as one row of a table behind a fold."""
    axes = [key for key in data["axes"] if any(row["values"].get(key) is not None for row in data["candidates"])]
    names = ["#", "What", "State", "Rung", "Source", "Seed", data["metric"], *map(shown_name, axes), "Time"]
    number = {"#", "Seed", data["metric"], *map(shown_name, axes), "Time"}
    head = "".join(f'<th scope="col"{_right(name in number)}>{esc(name)}</th>' for name in names)
    write = score_writer(data)
    body = []
    for row in data["candidates"][:_ROWS]:
        own = str(row["number"])
        own = f'<a href="#candidate-{own}">{own}</a>' if row["number"] in linked else own
        values = [write(row["values"]["score"]), *(amount(key, row["values"].get(key)) for key in axes)]
        cells = [f'<th scope="row" class="n q">{own}</th><td class="w">{esc(clip(row["label"], 120))}</td>']
        cells += [f"<td>{esc(text)}</td>" for text in (row["state"], row["rung"], row["source"])]
        cells += [f'<td class="n">{esc(text)}</td>' for text in (str(row["seed"]), *values)]
        cells.append(f'<td class="n">{seconds_text(row["seconds"])}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    more = len(data["candidates"]) - _ROWS
    tail = tag("p", f"… and {more:,} more.") if more > 0 else ""
    title = f"{len(data['candidates']):,} candidates, by number"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f"<details><summary>{title}</summary>{table}{tail}</details>"


def _right(right: bool) -> str:  # noqa: FBT001  a cell is of a number or it is not
    return ' class="n"' if right else ""
