"""The health of a model as a table: for pandas, a spreadsheet, a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from effwidgets.records import Health, LayerHealth, View
from effwidgets.views.health import number_text, rows_of, share_text
from effwidgets.views.sheet import Field, checked, csv_text, escaped, frame, pipe_table

__all__ = ["CSV", "FRAME", "MARKDOWN"]

_TEXTS: Final = ("name", "kind", "gradient")
_FLOATS: Final = ("weight_norm", "gradient_norm", "update_ratio", "output_rms", "signal_norm")
_NAMES: Final = tuple(part.name for part in fields(LayerHealth))
_USUAL: Final = ("kind", "gradient_norm", "weight_norm", "update_ratio", "signal_norm", "dead", "saturated")


def columns_of(health: Health) -> list[Field]:
    """Return the fields of `LayerHealth` as columns; ``name`` is called "layer", as in the table of a profile."""
    columns = []
    for name in _NAMES:
        kind = "text" if name in _TEXTS else "float" if name in _FLOATS else "int"
        cells = [getattr(layer, name) for layer in health.layers]
        columns.append(Field("layer" if name == "name" else name, kind, cells))  # type: ignore[arg-type]
    return columns


def draw_frame(health: Health) -> Any:
    """Return a ``pandas.DataFrame``; its ``attrs`` say which loss the gradients are of, and what was found."""
    facts = {
        "model": health.model,
        "loss": health.loss,
        "loss_value": health.loss_value,
        "train": health.train,
        "findings": [one.text for one in health.findings],
    }
    return frame(columns_of(health), facts)


def draw_markdown(health: Health, depth: int = 1, columns: Sequence[str] | None = None) -> str:
    """Return a pipe table of the layers with parameters or activation functions, down to ``depth``."""
    keys = checked(depth, columns, _NAMES, _USUAL)
    rows = [layer for layer in rows_of(health) if layer.name.count(".") < depth]
    head = ["Layer", *(key.replace("_", " ").capitalize() for key in keys)]
    cells = [[escaped(layer.name) or "*the model*", *(_cell(layer, key) for key in keys)] for layer in rows]
    right = [False, *(key not in _TEXTS for key in keys)]
    caption = f"{escaped(health.model)}: gradients of {escaped(health.loss)} ({health.loss_text}) on one batch."
    return "\n".join([*pipe_table(head, cells, right), "", caption]) + "\n"


def _cell(layer: LayerHealth, key: str) -> str:
    value = getattr(layer, key)
    if key in ("dead", "saturated"):
        return share_text(value, layer.units).replace("<", "&lt;") or "–"
    if key in _FLOATS:
        return number_text(value)
    return escaped(value) if isinstance(value, str) else f"{value:,}"


FRAME = View(shows=Health, medium="frame", draw=draw_frame, title="Health as a pandas table", default=True)
CSV = View(
    shows=Health, medium="csv", draw=lambda health: csv_text(columns_of(health)), title="Health as CSV", default=True
)
MARKDOWN = View(
    shows=Health, medium="markdown", draw=draw_markdown, title="Health as a table for a paper", default=True
)
