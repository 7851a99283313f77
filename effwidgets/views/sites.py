"""Where each technique can be applied, with its settings, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from effwidgets.records import Knob, Site, Sites, Skip, Technique, View
from effwidgets.views.page import card, esc, tag
from effwidgets.views.texttable import fold, plain
from effwidgets.views.words import clip, places

__all__ = ["HTML", "TEXT", "knob_text"]

_TEXT_ROWS = 12
_PAGE_ROWS = 200


def knob_text(knob: Knob) -> str:
    """Write a setting with its range and, where not every value saves, the largest that does.

    >>> knob_text(Knob(name="rank", kind="int", low=1, high=64, break_even=42))
    'rank 1 to 64 (saves up to 42)'
    >>> knob_text(Knob(name="mode", kind="choice", choices=("weight_only", "dynamic")))
    'mode weight_only or dynamic'
    """
    if knob.kind == "choice":
        return f"{knob.name} {' or '.join(knob.choices)}"
    ends = " to ".join(f"{end:,.10g}" for end in (knob.low, knob.high) if end is not None)
    steps = f" in steps of {knob.multiple}" if knob.multiple > 1 else ""
    pays = knob.break_even is not None and knob.break_even != knob.high
    return f"{knob.name} {ends}{steps}" + (f" (saves up to {knob.break_even:,.10g})" if pays else "")


def _settings(site: Site) -> str:
    return "; ".join(knob_text(knob) for knob in site.knobs) or "nothing to set"


def _of(found: Iterable[Site | Skip], technique: Technique) -> Iterator[Site | Skip]:
    return (one for one in found if one.transform == technique.name)


def _head(technique: Technique) -> str:
    exact = ", ".join(technique.exact) or "nothing"
    return f"{technique.family}, {technique.phase}; exact: {exact}"


def _count(record: Sites) -> str:
    sites, skips = len(record.sites), len(record.skips)
    return f"{sites:,} site{'s' * (sites != 1)}, {skips:,} place{'s' * (skips != 1)} left alone"


def draw_text(record: Sites) -> str:
    """Write one paragraph for each technique: its sites with their settings, then its skips by reason."""
    lines = [f"{plain(clip(record.model))}: {_count(record)}"]
    for technique in record.techniques:
        sites = [site for site in record.sites if site.transform == technique.name]
        skips = [skip for skip in record.skips if skip.transform == technique.name]
        lines += ["", f"{technique.name} ({_head(technique)})", *fold([technique.summary], indent="  ")]
        if not sites and not skips:
            lines.append("  No layer of its kind.")
        warnings = dict.fromkeys(warning for site in sites for warning in site.warnings)
        lines += fold([f"! {warning}" for warning in warnings], indent="  ")
        lines += [f"  ✓ {plain(clip(places(site.layers), 48))}: {_settings(site)}" for site in sites[:_TEXT_ROWS]]
        if len(sites) > _TEXT_ROWS:
            lines.append(f"    … and {len(sites) - _TEXT_ROWS:,} more sites.")
        lines += [f"  ✗ {where}: {plain(reason)}" for reason, where in _grouped(skips)]
    return "\n".join(lines)


def _grouped(skips: list[Skip]) -> Iterator[tuple[str, str]]:
    by_reason: dict[str, list[str]] = {}
    for skip in skips:
        by_reason.setdefault(skip.reason, []).extend(skip.layers or ("the model itself",))
    for reason, layers in by_reason.items():
        names = ", ".join(layer or "the model itself" for layer in layers[:3])
        more = f" and {len(layers) - 3:,} more" if len(layers) > 3 else ""
        yield reason, f"{plain(clip(names, 60))}{more}"


def draw_html(record: Sites) -> str:
    """Return the same as static HTML, each technique folded."""
    title = tag("b", record.model) + tag("span", "where each technique applies", "q")
    header = f"<header>{title}{tag('span', _count(record), 'q')}</header>"
    sections = (_section(technique, record) for technique in record.techniques)
    return card(
        [header, *sections], view="sites", origin=record.origin, label=f"Where each technique applies to {record.model}"
    )


def _section(technique: Technique, record: Sites) -> str:
    sites, skips = list(_of(record.sites, technique)), list(_of(record.skips, technique))
    warnings = dict.fromkeys(warning for site in sites if isinstance(site, Site) for warning in site.warnings)
    rows = "".join(_row(found) for found in (*sites, *skips)[:_PAGE_ROWS])
    left = len(sites) + len(skips) - _PAGE_ROWS
    body = (
        f"<p>{esc(technique.summary)} {tag('span', _head(technique), 'q')}</p>"
        + "".join(tag("p", f"Mind: {warning}", "bad") for warning in warnings)
        + (
            f'<table><thead><tr><th scope="col">Layers</th><th scope="col">Settings</th><th scope="col">Why</th></tr>'
            f"</thead><tbody>{rows}</tbody></table>"
            if rows
            else tag("p", "No layer of its kind.")
        )
        + (tag("p", f"… and {left:,} more.") if left > 0 else "")
    )
    count = f"{len(sites):,} sites" + (f", {len(skips):,} left alone" if skips else "")
    opened = " open" if len(record.techniques) == 1 else ""
    return f"<details{opened}><summary><b>{esc(technique.name)}</b> {esc(count)}</summary>{body}</details>"


def _row(found: Site | Skip) -> str:
    where = clip(places(found.layers, most=3), 80) or "the model itself"
    settings = _settings(found) if isinstance(found, Site) else "–"
    kind = "" if isinstance(found, Site) else ' class="q"'
    return (
        f'<tr{kind}><th scope="row" class="w" title="{esc(", ".join(found.layers))}">{esc(where)}</th>'
        f'<td class="w">{esc(settings)}</td><td class="w">{esc(clip(found.reason, 300))}</td></tr>'
    )


TEXT = View(shows=Sites, medium="text", draw=draw_text, title="Where each technique applies", default=True)
HTML = View(shows=Sites, medium="html", draw=draw_html, title="Where each technique applies", default=True)
