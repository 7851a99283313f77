"""A model as a file: its sizes, and what each layer adds."""

from __future__ import annotations

from effwidgets.records import DiskBytes, View
from effwidgets.units import bytes_text
from effwidgets.views.page import bar, card, esc, figures, notes, tag
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import clip, share

__all__ = ["HTML", "TEXT"]

_TEXT_ROWS = 30
_PAGE_ROWS = 200


def _sizes(disk: DiskBytes) -> list[tuple[str, str, str]]:
    rows = (
        ("Saved", disk.saved_bytes, "torch.save of the state dict"),
        ("safetensors", disk.safetensors_bytes, "save_model"),
        ("Compressed", disk.compressed_bytes, disk.codec),
    )
    return [
        (what, "–" if size is None else bytes_text(size), remark + ("" if size is None else f", {size:,} bytes"))
        for what, size, remark in rows
    ]


def draw_text(disk: DiskBytes) -> str:
    """Write the sizes, then the layers that add most."""
    lines = [f"{plain(clip(disk.model))} as a file", ""]
    lines += [f"{what:<12} {size:>9}  {remark}" for what, size, remark in _sizes(disk)]
    order = sorted(disk.layers, key=lambda layer: -layer.data_bytes)
    cells = [
        [
            clip(layer.name, 48) or "(the model)",
            bytes_text(layer.data_bytes),
            "–" if layer.compressed_bytes is None else bytes_text(layer.compressed_bytes),
        ]
        for layer in order[:_TEXT_ROWS]
    ]
    lines += ["", *table([Column("Layer"), Column("Tensors", right=True), Column("Compressed", right=True)], cells)]
    if len(order) > _TEXT_ROWS:
        lines.append(f"… and {len(order) - _TEXT_ROWS:,} more layers.")
    return "\n".join([*lines, *fold(disk.notes)])


def draw_html(disk: DiskBytes) -> str:
    """Return the same as static HTML, in the order of the state."""
    body = ""
    for layer in disk.layers[:_PAGE_ROWS]:
        name = layer.name or "(the model)"
        packed = "–" if layer.compressed_bytes is None else bytes_text(layer.compressed_bytes)
        body += f'<tr><th scope="row" title="{esc(name)}">{esc(clip(name, 60))}</th>'
        body += f'<td class="n">{bytes_text(layer.data_bytes)}{bar(share(layer.data_bytes, disk.data_bytes))}</td>'
        body += f'<td class="n">{packed}</td></tr>'
    head = '<th scope="col">Layer</th><th scope="col" class="n">Tensors</th><th scope="col" class="n">Compressed</th>'
    left = len(disk.layers) - _PAGE_ROWS
    parts = [
        f"<header>{tag('b', disk.model)}{tag('span', 'as a file', 'q')}</header>",
        figures(_sizes(disk)),
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else "",
        tag("p", f"… and {left:,} more layers.") if left > 0 else "",
        notes("What is not known, and why", disk.notes),
    ]
    return card(parts, view="disk", origin=disk.origin, label=f"{disk.model} as a file")


TEXT = View(shows=DiskBytes, medium="text", draw=draw_text, title="Model as a file", default=True)
HTML = View(shows=DiskBytes, medium="html", draw=draw_html, title="Model as a file", default=True)
