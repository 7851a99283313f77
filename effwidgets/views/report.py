"""The report of a search: one page that says what was tried, what came of it, and how to do it again."""

from __future__ import annotations

from effwidgets.records import Detail, SearchReport, View
from effwidgets.units import percent_text, seconds_text
from effwidgets.views.page import card, esc, figures, notes, tag
from effwidgets.views.pareto import TEXT as PARETO_TEXT
from effwidgets.views.pareto import payload
from effwidgets.views.pareto_html import failures, front_rows, front_table
from effwidgets.views.report_candidates import all_rows, closer, looked_at
from effwidgets.views.report_growth import growth
from effwidgets.views.scatter import draw_scatter
from effwidgets.views.texttable import plain
from effwidgets.views.wire import CandidateRow, ParetoPayload
from effwidgets.views.words import amount, clip, progress_text, score_writer, shown_name

__all__ = ["HTML", "TEXT"]

# The weight of an id, as the style that all static pages share has it.
_STYLE = """
&{border:0;max-width:none;overflow:visible;background:none}
& h1{font-size:1.75em;margin:.4rem 0 .2rem;overflow-wrap:anywhere}
& h2{font-size:1.15em;margin:0;padding:.8rem 1rem .6rem;overflow-wrap:anywhere}
& h3{font-size:1em;margin:0;padding:.9rem 1rem .2rem}
&>section{border:1px solid var(--effdl-line);border-radius:8px;margin:1.1rem 0;overflow-x:auto;
background:var(--effdl-ground)}
& nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.6rem 0}
& a{color:var(--effdl-accent)}
& svg a:focus-visible{outline:2px solid var(--effdl-accent);outline-offset:3px}
& section>p{border-top:0}& section>h2:not(:first-child){border-top:1px solid var(--effdl-line);padding-top:1.2rem}
& pre{margin:.4rem 1rem 1rem;padding:.8rem 1rem;border-radius:6px;background:var(--effdl-soft);
overflow-x:auto;font-size:.92em;line-height:1.5;max-height:32rem}
& details details{border-top:0;padding:.4rem 0}& details pre{margin:.4rem 0}
& .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr))}
& .pair table th{width:11rem}
& .lead{font-size:1.08em;border:0;padding:.2rem 0;color:inherit}
& .look>summary{color:inherit;padding:.15rem 0}& .look .q{font-weight:400}
& .look dl{border:0;margin:.4rem 0}& .look dl>div{padding:.3rem 1rem .3rem 0;border:0;flex:0 1 auto;
min-width:7.5rem}& .look dd{font-size:1.1em}
& .look>div{scroll-margin-top:3.2rem}& .look p{border:0;padding:.15rem 0}
& .look ol{margin:.3rem 0;padding-left:1.4rem}
& .look table{width:auto;min-width:60%;border-top:0}& .look td:first-child,
& .look th:first-child{padding-left:0}
& ins,& del{display:block;text-decoration:none}
& ins{color:var(--effdl-good)}& del{color:var(--effdl-bad)}
@media print{&>section{break-inside:avoid-page}& nav{display:none}}
""".replace("\n", "").replace("&", ":is(.effdl-report,#_)")


def draw_html(report: SearchReport) -> str:
    """Return the whole report as one element, with its own style and no script."""
    data = payload(report.state)
    looks = looked_at(report, data)
    linked = {candidate.number for candidate in looks}
    axes = _main_axes(report, data)
    others = [axis for axis in data["axes"] if axis not in axes and front_rows(data, axis)]
    parts = [f"<style>{_STYLE}</style>", _head(report, data), _nav()]
    parts.append(_section("fronts", "", "".join(_front(report, data, axis, linked) for axis in axes)))
    folded = "".join(
        f"<details><summary>Against {esc(shown_name(axis))}</summary>{_front(report, data, axis, linked)}</details>"
        for axis in others
    )
    parts.append(_section("others", "Other costs", folded) if folded else "")
    parts.append(_section("candidates", "A closer look", closer(report, data, looks)))
    parts.append(_section("growth", "How the front grew", growth(report, data)))
    parts.append(_section("all", "All candidates", all_rows(data, linked) + _troubles(data)))
    parts.append(_section("conditions", "Conditions", _conditions(report)))
    parts.append(_section("again", "Do it again", _again(report)))
    label = f"Report of the search over {data['title']}"
    whole = card(parts, view="report", origin=data["origin"], label=label, result=True)
    return whole.replace('class="effdl-static', 'class="effdl-report effdl-static', 1)


def _section(name: str, title: str, body: str) -> str:
    head = f"<h2>{esc(title)}</h2>" if title else ""
    return f'<section id="{name}">{head}{body}</section>'


def _nav() -> str:
    places = {
        "fronts": "Front",
        "candidates": "Candidates",
        "growth": "Hypervolume",
        "all": "All tried",
        "conditions": "Conditions",
        "again": "Do it again",
    }
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in places.items())
    return f'<nav aria-label="Parts of this report">{links}</nav>'


def _main_axes(report: SearchReport, data: ParetoPayload) -> list[str]:
    wanted = [axis for axis in report.state.objectives if front_rows(data, axis)]
    timed = any(row["values"].get("latency_s") is not None for row in data["candidates"])
    also = ["latency_s"] if timed and "latency_s" in data["fronts"] and "latency_s" not in wanted else []
    return wanted + also or data["axes"][:1]


def _head(report: SearchReport, data: ParetoPayload) -> str:
    axis = data["axes"][0]
    seconds = sum(row["seconds"] for row in data["candidates"])
    volume = data["hypervolume"].get(axis)
    done = sum(row["state"] == "done" for row in data["candidates"])
    facts = [
        ("Candidates", f"{len(data['candidates']):,}", f"{done:,} scored, {data['failed']:,} failed"),
        ("On the front", f"{len(front_rows(data, axis)):,}", f"against {shown_name(axis)}"),
        ("Hypervolume", "–" if volume is None else f"{volume:.3f}", f"{data['metric']} and {shown_name(axis)}"),
        ("Time", seconds_text(seconds), "all candidates added up"),
    ]
    facts += [("Budget", f"≤ {amount(key, limit)}", shown_name(key)) for key, limit in data["budgets"].items()]
    title = f"{data['metric']} against {', '.join(shown_name(one) for one in _main_axes(report, data))}"
    now = " · ".join(filter(None, (title, progress_text(data), data["message"], report.made.replace("T", " ", 1))))
    return (
        f"<h1>Search over {esc(clip(data['title']))}</h1>"
        f'<p class="lead q">{esc(now)}</p>{_lead(report, data)}<section>{figures(facts)}</section>'
    )


def _lead(report: SearchReport, data: ParetoPayload) -> str:
    rows = {row["number"]: row for row in data["candidates"]}
    dense = rows.get(-1 if data["dense"] is None else data["dense"])
    chosen = next((rows[number] for number in report.chosen if number in rows), None)
    if chosen is None or dense is None:
        return ""
    write = score_writer(data)
    why = "applied" if chosen["number"] == data["applied"] else "best within the budgets" if data["budgets"] else "knee"
    said = f"{write(chosen['values']['score'])}, where the dense model has {write(dense['values']['score'])}"
    saved = [text for axis in _main_axes(report, data) if (text := _saved(chosen, dense, axis))]
    link = f'<a href="#candidate-{chosen["number"]}">Candidate {chosen["number"]}</a>'
    return f'<p class="lead">{link} ({why}): {esc(said)}; {esc(", ".join(saved))}.</p>'


def _saved(row: CandidateRow, dense: CandidateRow, axis: str) -> str:
    now, before = row["values"].get(axis), dense["values"].get(axis)
    if now is None or not before:
        return ""
    return f"{shown_name(axis)} {amount(axis, now)} ({percent_text(now / before - 1)})"


def _front(report: SearchReport, data: ParetoPayload, axis: str, linked: set[int]) -> str:
    doubts = {one.number: f"by {one.by}, {one.chance:.0%}" for one in report.doubts if one.axis == axis}
    measured = any(axis in row["errors"] for row in data["candidates"])
    table = front_table(data, axis, linked=linked, doubts=doubts if measured else None)
    heard = f"<h2>{esc(data['metric'])} against {esc(shown_name(axis))}</h2>"
    said = "Changes are against the dense model."
    said += " FLOPs are 2 × MACs." if axis == "macs" else ""
    if measured:
        timed = sum(axis in row["errors"] for row in data["candidates"])
        said += (
            f" Measured near the front only, {timed} of {len(data['candidates'])} candidates; ± is half of a 95% "
            "interval. May be beaten: the candidate that most probably dominates it after all, and that chance."
        )
    return heard + draw_scatter(data, axis, linked=linked) + table + f"<footer>{said}</footer>"


def _troubles(data: ParetoPayload) -> str:
    skipped = [
        f"Candidate {row['number']} ({row['label']}): {row['note']}"
        for row in data["candidates"]
        if row["state"] != "failed" and row["note"]
    ]
    count = len(skipped)
    parts = notes(f"{data['failed']} failed, why?", failures(data), most=500)
    return parts + notes(f"{count} with something left out, why?", skipped, most=500)


def _conditions(report: SearchReport) -> str:
    return f'<div class="pair">{_facts("Asked for", report.asked)}{_facts("Where", report.environment)}</div>'


def _facts(title: str, details: tuple[Detail, ...]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{esc(one.name)}</th><td class="w">{esc(clip(one.value, 300))}</td></tr>'
        for one in details
    )
    return f"<div><h3>{title}</h3><table><tbody>{rows}</tbody></table></div>"


def _again(report: SearchReport) -> str:
    said = (
        "The same seed, data and one worker give the same front. With the same store the search goes on where it was. "
        "A candidate can also be made without searching: its recipe, above, is read by Plan.from_json and applied by "
        "effwidgets.apply; training is then yours."
    )
    return f'<pre tabindex="0"><code>{esc(report.code)}</code></pre>{tag("p", said)}'


def draw_text(report: SearchReport) -> str:
    """Write the report for a terminal: the front, then the conditions."""
    lines = [str(PARETO_TEXT.draw(report.state)), ""]
    for title, details in (("Asked for", report.asked), ("Where", report.environment)):
        lines += [title, *(f"  {one.name}: {plain(one.value)}" for one in details)]
    return "\n".join([*lines, f"Written {report.made}"])


TEXT = View(shows=SearchReport, medium="text", draw=draw_text, title="Report of a search", default=True)
HTML = View(shows=SearchReport, medium="html", draw=draw_html, title="Report of a search", default=True)
