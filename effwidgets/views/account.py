"""What `apply` did: costs before and after, each edit with its evidence, what was left out, the repair."""

from __future__ import annotations

from collections.abc import Collection

from effwidgets.records import Account, Edit, View
from effwidgets.units import bytes_text, seconds_text
from effwidgets.views.page import card, esc, notes, tag
from effwidgets.views.repaired import error_text, refits_table, repair_text
from effwidgets.views.signed import change_class, part_text, signed_amount, signed_bar
from effwidgets.views.steps import measured_text, skipped_html, skipped_lines, step_cells
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import amount, clip, diff_rows, diff_text, places, settings_text

__all__ = ["HTML", "TEXT"]

_TEXT_EDITS = 30
_TEXT_PIECES = 4
_PAGE_EDITS = 200
_PAGE_PIECES = 6
_TITLES = {
    "params": "Parameters",
    "macs": "FLOPs (2 × MACs)",
    "param_bytes": "Parameters and buffers",
    "inference_peak_bytes": "Inference peak",
    "saved_bytes": "Saved for backward",
}
_COSTS = ("params", "macs")


def _totals(record: Account) -> list[tuple[str, str, int, int]]:
    rows = []
    for key, title in _TITLES.items():
        sides = (
            (record.cost_before, record.cost_after) if key in _COSTS else (record.memory_before, record.memory_after)
        )
        before, after = (int(getattr(side, key)) for side in sides)
        rows.append((key, title, before, after))
    return rows


def _head(record: Account) -> str:
    done = len(record.edits)
    left = f", {len(record.skipped)} left out" if record.skipped else ""
    return f"{done} step{'s' * (done != 1)} done in {seconds_text(record.seconds)}{left}"


def _shared(record: Account) -> dict[str, str]:
    # What several edits say is told once, with whom it is about.
    told: dict[str, list[str]] = {}
    for edit in record.edits:
        for note in dict.fromkeys(edit.notes):
            told.setdefault(note, []).append(edit.step.transform)
    return {note: f"{len(who)} steps ({', '.join(dict.fromkeys(who))})" for note, who in told.items() if len(who) > 1}


def _evidence(edit: Edit, *, repaired: bool) -> str:
    when = " before repair" if repaired else ""
    off = "" if edit.error is None else f"its outputs are {error_text(edit.error)} off{when}"
    return "; ".join(filter(None, (off, measured_text(edit.measured))))


def _repair(record: Account) -> str:
    if record.repaired is not None:
        return f"Repair: {repair_text(record.repaired)}."
    return "No repair." if record.edits else ""


def draw_text(record: Account) -> str:
    """Write the totals, then each edit with what it changed, then what was left out and what repair brought."""
    rows = [
        [title, amount(key, before), amount(key, after), signed_amount(key, after - before), part_text(before, after)]
        for key, title, before, after in _totals(record)
    ]
    if record.download_bytes is not None:
        whole = record.cost_before.param_bytes
        size = record.download_bytes
        rows.append(["Download", bytes_text(whole), bytes_text(size), signed_amount("param_bytes", size - whole)])
        rows[-1].append(part_text(whole, size))
    columns = [Column(""), *(Column(name, right=True) for name in ("Before", "After", "Change", ""))]
    lines = [f"{plain(clip(record.model))} · {_head(record)}", "", *table(columns, rows), ""]
    for number, edit in enumerate(record.edits[:_TEXT_EDITS]):
        lines += _edit_lines(number, edit, record)
    if len(record.edits) > _TEXT_EDITS:
        lines.append(f"… and {len(record.edits) - _TEXT_EDITS:,} more edits; see .edits")
    lines += skipped_lines(record.skipped)
    lines += fold([f"! {who}: {note}" for note, who in _shared(record).items()])
    said = [_repair(record), record.optimizer, *record.notes]
    return "\n".join([*lines, *fold([sentence for sentence in said if sentence])])


def _edit_lines(number: int, edit: Edit, record: Account) -> list[str]:
    evidence = _evidence(edit, repaired=record.repaired is not None)
    said = "; ".join(filter(None, (settings_text(edit.step, edit), evidence))) or "done"
    lines = [f"✓ {number} {edit.step.transform} {plain(clip(places(edit.step.layers), 60))}: {plain(said)}"]
    rows = diff_rows([edit])
    lines += [f"    {plain(clip(diff_text(row), 110))}" for row in rows[:_TEXT_PIECES]]
    if len(rows) > _TEXT_PIECES:
        lines.append(f"    … and {len(rows) - _TEXT_PIECES:,} more layers")
    shared = _shared(record)
    return lines + fold([f"! {note}" for note in edit.notes if note not in shared], indent="    ")


def draw_html(record: Account) -> str:
    """Return the same as static HTML."""
    header = f"<header>{tag('b', record.model)}{tag('span', 'applied to a copy', 'q')}"
    header += f"{tag('span', _head(record), 'q')}</header>"
    more = len(record.edits) - _PAGE_EDITS
    parts = [
        header,
        _totals_table(record),
        skipped_html(record.skipped),
        _edits_table(record),
        tag("p", f"… and {more:,} more edits; see .edits") if more > 0 else "",
        _repair_html(record),
        tag("p", record.optimizer) if record.optimizer else "",
        notes("Notes", record.notes),
        _foot(record),
    ]
    return card(parts, view="account", origin=record.origin, label=f"What was applied to {record.model}")


def _foot(record: Account) -> str:
    if not record.edits:
        return ""
    when = ", before repair" if record.repaired is not None else ""
    error = f"Error: of the layer's outputs on calibration data{when}. "
    measured = error if any(edit.error is not None for edit in record.edits) else ""
    return tag("footer", f"{measured}Undo a step by its number: undo(applied, 0). FLOPs are 2 × MACs.")


_RIGHT = ' class="n"'


def _heads(names: tuple[tuple[str, str], ...]) -> str:
    return "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in names)


def _totals_table(record: Account) -> str:
    rows = [(title, *_amounts(key, before, after)) for key, title, before, after in _totals(record)]
    if record.download_bytes is not None:
        rows.append(
            ("Download, coded", *_amounts("param_bytes", record.cost_before.param_bytes, record.download_bytes))
        )
    head = _heads((("The model", ""), ("Before", _RIGHT), ("After", _RIGHT), ("Change", _RIGHT), ("", _RIGHT)))
    body = "".join(f'<tr><th scope="row">{title}</th>{"".join(cells)}</tr>' for title, *cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _amounts(key: str, before: int, after: int) -> tuple[str, str, str, str]:
    change = after - before
    kind = change_class(change)
    bar = signed_bar(change, before) if change and before else ""
    return (
        f'<td class="n q">{amount(key, before)}</td>',
        f'<td class="n"><b>{amount(key, after)}</b></td>',
        f'<td class="n {kind}">{signed_amount(key, change)}</td>',
        f'<td class="n {kind}">{part_text(before, after)}{bar}</td>',
    )


def _edits_table(record: Account) -> str:
    if not record.edits:
        return tag("p", "Nothing was changed.")
    head = _heads((("#", _RIGHT), ("Step", ""), ("What changed", ""), ("Error", _RIGHT)))
    shared = _shared(record)
    body = "".join(_edit_row(number, edit, shared) for number, edit in enumerate(record.edits[:_PAGE_EDITS]))
    said = "".join(tag("p", clip(f"{who}: {note}", 600)) for note, who in shared.items())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{said}"


def _edit_row(number: int, edit: Edit, shared: Collection[str]) -> str:
    rows = diff_rows([edit])
    said = [esc(clip(diff_text(row), 220)) for row in rows[:_PAGE_PIECES]]
    if len(rows) > _PAGE_PIECES:
        said.append(f"… and {len(rows) - _PAGE_PIECES:,} more layers")
    said += [f'<span class="q">Measured: {esc(clip(measured_text(edit.measured), 300))}</span>'] * bool(edit.measured)
    said += [f'<span class="q">{esc(clip(note, 400))}</span>' for note in edit.notes if note not in shared]
    error = f'<td class="n">{error_text(edit.error)}</td>'
    return f'<tr>{step_cells(number, edit.step, edit)}<td class="w">{"<br>".join(said)}</td>{error}</tr>'


def _repair_html(record: Account) -> str:
    said = _repair(record)
    if record.repaired is None:
        return tag("p", said) if said else ""
    held = notes("What was done and what was left", record.repaired.notes)
    layers = refits_table(record.repaired)
    count = len(record.repaired.refits)
    fold_ = f"<details><summary>{count:,} layer{'s' * (count != 1)} fitted again</summary>{layers}</details>"
    return f"<p><b>Repair</b> {esc(repair_text(record.repaired))}.</p>{fold_ if layers else ''}{held}"


TEXT = View(shows=Account, medium="text", draw=draw_text, title="What was applied", default=True)
HTML = View(shows=Account, medium="html", draw=draw_html, title="What was applied", default=True)
