"""Two profiles side by side: before, after, change."""

from __future__ import annotations

from effwidgets.records import Comparison, View
from effwidgets.units import seconds_text
from effwidgets.views.comparison_figure import draw_figure
from effwidgets.views.comparison_html import draw_html
from effwidgets.views.comparison_rows import COLUMNS, SUMS, ChangeRow, ComparisonPayload, TotalRow, payload
from effwidgets.views.signed import part_text, signed_amount, signed_marks
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import amount, clip

__all__ = ["FIGURE", "HTML", "TEXT", "payload"]

_TEXT_ROWS = 60
_WORDS = {
    "inside": "",
    "changed": "changed",
    "replaced": "replaced",
    "removed": "removed",
    "added": "added",
    "same": "",
}


def draw_text(found: Comparison) -> str:
    """Write a comparison for a terminal: the totals, then each layer that is not as it was."""
    data = payload(found)
    lines = [f"{plain(clip(data['title']))} · before and after · input {data['inputs']}"]
    lines += fold([f"! {warning}" for warning in data["warnings"]])
    head = [Column(""), *(Column(name, right=True) for name in ("Before", "After", "Change", "")), Column("Where")]
    lines += ["", *table(head, [_total(row) for row in data["totals"]]), ""]
    lines += _layers(data)
    if data["same"]:
        lines.append(f"{data['same']:,} layer{'s are as they were' if data['same'] != 1 else ' is as it was'}.")
    if data["least"]:
        lines.append("≥: some work has no formula, or some memory is out of sight; the total is at least this.")
    return "\n".join([*lines, *fold(data["notes"])])


def _total(row: TotalRow) -> list[str]:
    before, after = row["before"], row["after"]
    change = None if before is None or after is None else after - before
    written = [
        "≥ " * least + _amount(row["key"], value)
        for value, least in ((before, row["before_least"]), (after, row["after_least"]))
    ]
    return [row["title"], *written, signed_amount(row["key"], change), part_text(before, after), _where(row)]


def _amount(key: str, value: float | None) -> str:
    return seconds_text(value) if key == "latency_s" and value is not None else amount(key, value)


def _where(row: TotalRow) -> str:
    if row["before_at"] is None and row["after_at"] is None:
        return ""
    named = [clip(at, 32) or "the model itself" for at in (row["before_at"], row["after_at"]) if at is not None]
    return f"{'largest:' if row['key'] in SUMS else 'at'} {' → '.join(dict.fromkeys(named))}"


def _layers(data: ComparisonPayload) -> list[str]:
    if len(data["rows"]) == 1 and data["rows"][0]["state"] == "same":
        return ["No layer differs."]
    sums = {key: [abs(row["change"][key]) for row in data["rows"][1:] or data["rows"]] for key in ("macs", "params")}
    key = "macs" if any(sums["macs"]) else "params"
    largest = max(sums[key])
    columns = [Column("Layer"), Column("What"), *(Column(name, right=True) for name in COLUMNS.values()), Column("")]
    shown = data["rows"][:_TEXT_ROWS]
    lines = table(columns, [_row(row, key, largest) for row in shown])
    if len(data["rows"]) > len(shown):
        lines.append(f"… and {len(data['rows']) - len(shown):,} more layers that differ. The totals count them all.")
    what = "FLOPs" if key == "macs" else "parameters"
    lines.append(f"Changes, with everything inside of a layer; the bar is the change of {what}.")
    return lines


def _row(row: ChangeRow, key: str, largest: int) -> list[str]:
    name = f"{'  ' * min(row['depth'], 8)}{clip(' '.join(row['label'].split()), 28)}"
    what = " ".join(filter(None, (_WORDS[row["state"]], row["kind"])))
    what = ": ".join(filter(None, (what, row["told"])))
    if row["part"]:  # what holds it has the change and the bar; here stands what the part costs
        side = row["after"] or row["before"]
        return [name, clip(what, 64), *(amount(column, side.get(column)) for column in COLUMNS), ""]
    changes = [signed_amount(column, row["change"][column]) for column in COLUMNS]
    return [name, clip(what, 64), *changes, signed_marks(row["change"][key], largest)]


TEXT = View(shows=Comparison, medium="text", draw=draw_text, title="Before and after", default=True)
HTML = View(
    shows=Comparison,
    medium="html",
    draw=lambda found: draw_html(payload(found)),
    title="Before and after",
    default=True,
)
FIGURE = View(
    shows=Comparison,
    medium="figure",
    draw=lambda found: draw_figure(payload(found)),
    title="Before and after, by layer",
    default=True,
)
