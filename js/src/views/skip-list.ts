/** The places where nothing is offered, behind a fold, by technique. */

import { plural } from "../core/format.js";
import type { SkipRow } from "../core/wire.js";
import { html } from "./dom.js";

/** Draw the fold; the reader opens it to see why. */
export function skipList(skips: readonly SkipRow[]): HTMLElement {
  const names = [...new Set(skips.map((skip) => skip.transform))];
  const count = (rows: readonly SkipRow[]): number =>
    rows.reduce((sum, row) => sum + Math.max(1, row.layers.length), 0);
  const groups = names.map((name) => {
    const rows = skips.filter((skip) => skip.transform === name);
    const items = rows.map((skip) =>
      html("li", {}, html("b", {}, skip.layers.join(", ") || "the model"), ": ", skip.reason),
    );
    const title = name.replaceAll("_", " ") || "everything";
    const head = html("div", { class: "effdl-muted" }, `${title} · ${plural(count(rows), "place")}`);
    return html("li", {}, head, html("ul", {}, ...items));
  });
  return html(
    "details",
    { class: "effdl-skips" },
    html("summary", {}, `${count(skips)} skipped, why?`),
    html("ul", { tabindex: "0", "aria-label": "Skipped places" }, ...groups),
  );
}
