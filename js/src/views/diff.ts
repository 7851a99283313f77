/** The architecture before and after, as lines with a minus and a plus. */

import type { DiffRow } from "../core/wire.js";
import { html } from "./dom.js";

/** Draw the places that changed. Signs stand as text, so that nothing is told by colour alone. */
export function diffList(rows: readonly DiffRow[]): HTMLElement {
  const root = html("div", { class: "effdl-diff", role: "group", "aria-label": "Architecture, before and after" });
  for (const row of rows) {
    const lines = html("ul", {});
    for (const text of row.before) lines.append(line("minus", "−", text));
    for (const text of row.after) lines.append(line("plus", "+", text));
    root.append(html("div", { class: "effdl-diff-layer", title: row.layer }, row.layer), lines);
  }
  return root;
}

function line(kind: "minus" | "plus", sign: string, text: string): HTMLElement {
  return html("li", { class: `effdl-${kind}` }, html("span", { class: "effdl-sign" }, sign), text);
}
