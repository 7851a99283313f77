"""How the hypervolume of a search grew, and what each technique brought to it."""

from __future__ import annotations

from effwidgets.records import SearchReport, Volumes
from effwidgets.units import percent_text
from effwidgets.views.page import bar, esc, tag
from effwidgets.views.scale import scale_over
from effwidgets.views.wire import ParetoPayload
from effwidgets.views.words import shown_name

__all__ = ["growth"]

_WIDTH, _HEIGHT = 900, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 24, 14, 44
_POINTS = 600


def growth(report: SearchReport, data: ParetoPayload) -> str:
    """Return the picture and the shares for each cost that the search was after."""
    wanted = [one for one in report.histories if one.axis in report.state.objectives and len(one.volumes) > 1]
    if not wanted:
        return tag("p", "Too few candidates have a score to tell.")
    said = (
        f"Share of the box between the worst {data['metric']} and no cost at all, and the dense model's cost, that the "
        "front dominates."
    )
    return tag("p", said) + "".join(f"{_curve(one)}{_shares(one)}" for one in wanted)


def _curve(one: Volumes) -> str:
    volumes = list(enumerate(one.volumes, start=1))
    step = max(1, len(volumes) // _POINTS)
    kept = [*volumes[::step], volumes[-1]]
    x = scale_over([0.0, float(len(volumes))], _LEFT, _WIDTH - _RIGHT, from_zero=True)
    y = scale_over([value for _, value in kept], _HEIGHT - _BOTTOM, _TOP)
    path = "".join(
        f"{'H' if place else 'M'}{x(count):.1f}{'V' if place else ' '}{y(value):.1f}"
        for place, (count, value) in enumerate(kept)
    )
    quiet = 'style="fill:var(--effdl-quiet)"'
    lines = []
    for tick in y.ticks(6):
        lines.append(f'<path d="M{_LEFT} {y(tick):.1f}H{_WIDTH - _RIGHT}" style="stroke:var(--effdl-line)"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end" {quiet}>{tick:.4g}</text>')
    for tick in x.ticks(8):
        if tick == int(tick):
            at = f'x="{x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 18}"'
            lines.append(f'<text {at} text-anchor="middle" {quiet}>{tick:.0f}</text>')
    name = shown_name(one.axis)
    title = f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end" {quiet}>results</text>'
    said = f"Hypervolume along {name} over {len(volumes)} results, from {kept[0][1]:.3f} to {kept[-1][1]:.3f}."
    return (
        f"<h3>Along {esc(name)}: {kept[-1][1]:.3f}</h3>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{esc(said)}" font-size="12" '
        f'style="display:block;width:100%;min-width:36rem;height:auto">{"".join(lines)}{title}'
        f'<path d="{path}" style="fill:none;stroke:var(--effdl-accent);stroke-width:2"/></svg>'
    )


def _shares(one: Volumes) -> str:
    if not one.contributions:
        return ""
    ranked = sorted(one.contributions, key=lambda share: -share.value)
    rows = "".join(
        f'<tr><th scope="row">{esc(share.metric.replace("_", " "))}</th>'
        f'<td class="n">{percent_text(share.value).lstrip("+")} {bar(share.value)}</td></tr>'
        for share in ranked
    )
    head = '<tr><th scope="col">Technique</th><th scope="col" class="n">Hypervolume lost without it</th></tr>'
    return f'<table style="width:auto"><thead>{head}</thead><tbody>{rows}</tbody></table>'
