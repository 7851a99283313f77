"""Two profiles side by side as grouped bars."""

from __future__ import annotations

from typing import Any

from effwidgets.views.comparison_rows import COLUMNS, ChangeRow, ComparisonPayload
from effwidgets.views.figures import TEMPLATE, shown
from effwidgets.views.signed import signed_amount
from effwidgets.views.words import amount

__all__ = ["draw_figure"]

_BARS = 24
_LOOKS = (("Before", "place_before", "#a3adba"), ("After", "place_after", "#2b62cf"))
_AXES = {"params": "Parameters", "macs": "FLOPs (2 × MACs)", "saved_bytes": "Bytes saved for backward"}


def draw_figure(data: ComparisonPayload) -> Any:
    """Draw before and after for the layers that differ most, largest change on top; buttons choose the cost."""
    from plotly import graph_objects

    keys = sorted(COLUMNS, key=lambda key: key != _first(data))
    figure = graph_objects.Figure(layout={**TEMPLATE, "barmode": "group"})
    for key in keys:
        rows = _top(data, key)
        for title, side, colour in _LOOKS:
            figure.add_bar(
                y=[_label(row) for row in rows],
                x=[row[side][key] * (2 if key == "macs" else 1) for row in rows],  # type: ignore[literal-required]
                name=title,
                orientation="h",
                marker={"color": colour, "pattern": {"shape": "/" if side == "place_before" else ""}},
                text=[amount(key, row[side][key]) for row in rows],  # type: ignore[literal-required]
                textposition="outside",
                cliponaxis=False,
                hovertext=[_hover(row) for row in rows],
                hovertemplate="%{hovertext}<extra></extra>",
                visible=key == keys[0],
                legendrank=1 if side == "place_before" else 2,
            )
    _lay_out(figure, data, keys)
    return figure


def _first(data: ComparisonPayload) -> str:
    return next(
        (key for key in ("macs", "params", "saved_bytes") if any(_change(row, key) for row in data["rows"])), "macs"
    )


def _top(data: ComparisonPayload, key: str) -> list[ChangeRow]:
    rows = [row for row in data["rows"] if not row["part"] and row["state"] not in ("same", "inside")]
    rows = [row for row in rows if _change(row, key)]
    return sorted(rows, key=lambda row: -abs(_change(row, key)))[:_BARS]


def _change(row: ChangeRow, key: str) -> int:
    return row["place_after"][key] - row["place_before"][key]


def _label(row: ChangeRow) -> str:
    return shown(row["name"], 48) or "the model itself"


def _hover(row: ChangeRow) -> str:
    told = f"<br>{shown(row['told'], 120)}" if row["told"] else ""
    changes = "<br>".join(f"{signed_amount(one, row['change'][one])} {title}" for one, title in COLUMNS.items())
    return f"<b>{_label(row)}</b> {row['state']}, {shown(row['kind'], 90)}{told}<br>{changes}"


def _lay_out(figure: Any, data: ComparisonPayload, keys: list[str]) -> None:
    buttons = [
        {
            "label": COLUMNS[key],
            "method": "update",
            "args": [
                {"visible": [other == key for other in keys for _ in _LOOKS]},
                {"xaxis.title.text": _AXES[key]},
            ],
        }
        for key in keys
    ]
    bars = max((len(_top(data, key)) for key in keys), default=0)
    figure.update_layout(
        title={"text": f"{shown(data['title'], 120)}: the layers that differ most", "x": 0, "xref": "paper"},
        height=max(320, 150 + 44 * bars),
        xaxis={"title": {"text": _AXES[keys[0]]}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category"},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        updatemenus=[
            {
                "type": "buttons",
                "direction": "right",
                "buttons": buttons,
                "x": 1,
                "xanchor": "right",
                "y": 1.02,
                "yanchor": "bottom",
                "showactive": True,
                "pad": {"b": 4},
            }
        ],
    )
