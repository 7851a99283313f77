"""The layers of a profile as a treemap, an icicle and bars, by whatever a reader asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from effwidgets.records import LayerProfile, Profile, View
from effwidgets.units import shape_text
from effwidgets.views.figures import LAYOUT, QUIET, shown
from effwidgets.views.measures import MEASURES, at_least, gather, parents, values_of
from effwidgets.views.roles import ROLES, role_of

__all__ = ["BARS", "ICICLE", "TREEMAP"]

_BARS: Final = 30
_MANY: Final = 1000  # areas, from which on only the top is drawn: the rest opens with a click


def _asked(profile: Profile, by: str | None) -> str:
    return by or ("flops" if profile.cost.macs else "params")


def _hovers(profile: Profile) -> list[str]:
    """Return all numbers of each layer, as plotly shows them."""
    above = parents(profile)
    timed = any(layer.latency is not None for layer in profile.layers[1:])
    keys = [key for key, one in MEASURES.items() if (profile.inputs or not one.run) and (timed or key != "latency_s")]
    pages = [[_title(profile, row)] for row in range(len(above))]
    for key in keys:
        own = values_of(profile, key)
        measure = MEASURES[key]
        for row, (alone, inside) in enumerate(zip(own, gather(own, above), strict=True)):
            apart = f" ({measure.write(alone)} its own)" if alone != inside else ""
            pages[row].append(f"{measure.title} {measure.write(inside)}{apart}")
    return ["<br>".join(page) for page in pages]


def _title(profile: Profile, row: int) -> str:
    layer = profile.layers[row]
    name = shown(layer.name or profile.model, 80)
    calls = f" · {layer.calls} calls" if layer.calls > 1 else ""
    output = f"<br>Output {shape_text(layer.outputs[0])}" if layer.outputs else ""
    return f"<b>{name}</b><br>{shown(layer.kind)}{calls}{output}"


def _heading(profile: Profile, key: str, said: str, drawn: Sequence[LayerProfile]) -> dict[str, Any]:
    kinds = {role_of(layer.kind).title for layer in drawn}
    marks = [f'<span style="color:{one.colour}">■</span> {one.title}' for one in ROLES.values() if one.title in kinds]
    measure = MEASURES[key]
    unit = " (2 × MACs)" if key == "flops" else ""
    least = "at least " if at_least(key, profile.uncounted, profile.memory.hidden) else ""
    whole = least + measure.write(sum(values_of(profile, key)))
    first = f"<b>{shown(profile.model)}</b>: {said} {measure.title}{unit}, {whole} in all"
    return {"text": f"{first}<br><sup>{'  '.join(marks)}</sup>", "x": 0.01, "xanchor": "left", "font": {"size": 18}}


def _draw_areas(profile: Profile, by: str | None, form: Literal["treemap", "icicle"]) -> Any:
    from plotly import graph_objects

    key = _asked(profile, by)
    above = parents(profile)
    total = gather(values_of(profile, key), above)
    rows = [row for row, value in enumerate(total) if value > 0 or row == 0]  # without area there is nothing to see
    hovers = _hovers(profile)
    whole = total[0] or 1
    layers = [profile.layers[row] for row in rows]
    draw = graph_objects.Treemap if form == "treemap" else graph_objects.Icicle
    areas = draw(
        ids=[str(row) for row in rows],
        labels=[shown(layer.name.rpartition(".")[2] or profile.model, 40) for layer in layers],
        parents=["" if row == 0 else str(above[row]) for row in rows],
        values=[total[row] for row in rows],
        branchvalues="total",
        maxdepth=4 if len(rows) > _MANY else -1,
        marker={
            "colors": [role_of(layer.kind).colour for layer in layers],
            "line": {"width": 1, "color": "rgba(255,255,255,0.55)"},
        },
        text=[
            f"{shown(layer.kind, 32)}<br>{MEASURES[key].write(total[row])}, {total[row] / whole:.1%}"
            for row, layer in zip(rows, layers, strict=True)
        ],
        textinfo="label+text",
        textfont={"color": "#ffffff"},
        hovertext=[hovers[row] for row in rows],
        hovertemplate="%{hovertext}<extra></extra>",
        **(
            {"tiling": {"pad": 2}, "root": {"color": "rgba(0,0,0,0)"}}
            if form == "treemap"
            else {"tiling": {"orientation": "v"}, "leaf": {"opacity": 1}, "sort": False}
        ),
    )
    return graph_objects.Figure(
        areas, layout={**LAYOUT, "title": _heading(profile, key, "area is", layers), "height": 560}
    )


def draw_treemap(profile: Profile, by: str | None = None) -> Any:
    """Draw nested areas: a layer's is what is inside it, coloured by what the layer does."""
    return _draw_areas(profile, by, "treemap")


def draw_icicle(profile: Profile, by: str | None = None) -> Any:
    """Draw the layers level by level: each is as wide as what is inside it."""
    return _draw_areas(profile, by, "icicle")


def draw_bars(profile: Profile, by: str | None = None) -> Any:
    """Draw the dearest layers by their own work; the last bar is all others, so that the bars add up to the whole."""
    from plotly import graph_objects

    key = _asked(profile, by)
    own = values_of(profile, key)
    order = sorted((row for row, value in enumerate(own) if value), key=lambda row: -own[row])
    rows, others = order[:_BARS], order[_BARS:]
    hovers = _hovers(profile)
    layers = [profile.layers[row] for row in rows]
    names = [shown(layer.name or f"{profile.model} itself") for layer in layers]
    values, texts = [own[row] for row in rows], [hovers[row] for row in rows]
    colours = [role_of(layer.kind).colour for layer in layers]
    if others:
        names.append(f"{len(others):,} other layers")
        values.append(sum(own[row] for row in others))
        texts.append(f"<b>{names[-1]}</b>")
        colours.append(ROLES["Other"].colour)
    bars = graph_objects.Bar(
        x=values,
        y=list(range(len(names))),  # two layers may be called alike once clipped
        orientation="h",
        marker={"color": colours},
        text=[MEASURES[key].write(value) for value in values],
        textposition="auto",
        hovertext=texts,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    title = _heading(profile, key, "each layer's own", layers)
    return graph_objects.Figure(bars, layout=_beside(names, key, title))


def _beside(names: list[str], key: str, title: dict[str, Any]) -> dict[str, Any]:
    """Return the layout of bars with their names on the left."""
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names}
    quiet = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "tickfont": {"color": QUIET}}
    unit = MEASURES[key].unit
    return {
        **LAYOUT,
        "title": title,
        "xaxis": {**quiet, "title": {"text": MEASURES[key].title}, "tickformat": "~s", "ticksuffix": unit},
        "yaxis": {
            **quiet,
            **ticks,
            "autorange": "reversed",
            "automargin": True,
            "showgrid": False,
            "ticklabelstandoff": 6,
        },
        "margin": {**LAYOUT["margin"], "b": 56},
        "height": 180 + 24 * max(len(names), 1),
    }


_BY = tuple(MEASURES)
TREEMAP = View(shows=Profile, medium="figure", draw=draw_treemap, title="Treemap of the layers", by=_BY)
ICICLE = View(shows=Profile, medium="figure", draw=draw_icicle, title="Icicle of the layers", by=_BY)
BARS = View(shows=Profile, medium="figure", draw=draw_bars, title="Dearest layers", by=_BY)
