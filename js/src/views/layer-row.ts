/** One row of the layer table. */

import type { Work } from "../core/axes.js";
import { shareText } from "../core/format.js";
import type { Row } from "../core/tree.js";
import type { LayersPayload } from "../core/wire.js";
import { type Column, measured, spreadText } from "./columns.js";
import { html } from "./dom.js";

export interface RowContext {
  payload: LayersPayload;
  columns: readonly Column[];
  scope: "own" | "total";
  work: Work;
  flat: boolean;
}

/** Draw a row: the tree cell, then one cell a column. */
export function layerRow(row: Row, context: RowContext, id: string): HTMLTableRowElement {
  const { payload, columns } = context;
  const name = payload.names[row.index] ?? "";
  const tr = html("tr", {
    id,
    class: `effdl-row${row.dim ? " effdl-dim" : ""}`,
    "data-index": row.index,
    "data-layer": name,
    "aria-level": row.depth + 1,
    "aria-expanded": row.parent ? String(row.open) : null,
  });
  for (const column of columns) {
    if (column.key === "label") tr.append(nameCell(row, context, name));
    else if (column.key === "outputs") tr.append(plainCell("outputs", payload.outputs[row.index] ?? ""));
    else if (column.key === "calls") tr.append(plainCell("calls", String(payload.calls[row.index] ?? "")));
    else tr.append(measureCell(row, context, column));
  }
  return tr;
}

function nameCell(row: Row, context: RowContext, name: string): HTMLElement {
  const { payload } = context;
  const label = payload.labels[row.index] ?? name;
  const kind = payload.kinds[row.index] ?? "";
  const text = (context.flat && name !== "" ? name : label) || payload.title;
  const aliases = payload.aliases[row.index] ?? [];
  const hint = [name || payload.title, kind, aliases.length > 0 ? `also ${aliases.join(", ")}` : ""];
  const twist = row.parent
    ? html(
        "button",
        {
          type: "button",
          class: "effdl-twist",
          tabindex: "-1",
          "data-fold": row.index,
          "aria-label": `${row.open ? "Fold" : "Unfold"} ${text}`,
        },
        html("span", { "aria-hidden": "true" }, row.open ? "▾" : "▸"),
      )
    : html("span", { class: "effdl-twist", "aria-hidden": "true" });
  const cell = html("td", { role: "gridcell", class: "effdl-name", title: hint.filter(Boolean).join(" · ") });
  const line = html(
    "div",
    {},
    twist,
    html("span", { class: "effdl-label" }, text),
    html("span", { class: "effdl-kind" }, kind),
    aliases.length > 0 ? html("span", { class: "effdl-chip" }, "shared") : null,
  );
  line.style.setProperty("--effdl-depth", String(row.depth));
  cell.append(line);
  return cell;
}

function plainCell(key: string, text: string): HTMLElement {
  return html("td", { role: "gridcell", class: `effdl-plain effdl-col-${key}`, title: text }, text || "–");
}

function measureCell(row: Row, context: RowContext, column: Column): HTMLElement {
  const spread = column.key === "latency_s" ? spreadText(context.payload, row.index, context.scope) : null;
  const cell = html("td", { role: "gridcell", class: `effdl-num effdl-col-${column.key}`, title: spread });
  const value = column.measure && measured(context.payload, column.measure, row.index, context);
  if (!value) {
    cell.append(html("span", { class: "effdl-muted" }, "–"));
    return cell;
  }
  cell.append(html("span", { class: value.zero ? "effdl-muted" : null }, value.text));
  const filled = html("i");
  filled.style.width = `${Math.min(100, 100 * value.share).toFixed(2)}%`;
  cell.append(html("span", { class: "effdl-bar", title: `${shareText(value.share)} of the model` }, filled));
  return cell;
}
