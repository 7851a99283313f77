/** The foot of the layer table: what was not counted, how times came about, zeros, notes. */

import { plural } from "../core/format.js";
import type { LayersPayload } from "../core/wire.js";
import { html } from "./dom.js";

/** The parts of the foot, in their order. */
export function footOf(payload: LayersPayload): HTMLElement[] {
  const { names, uncounted, notes, partial, times, zeros } = payload;
  const parts: HTMLElement[] = [html("span", {}, plural(Math.max(1, names.length - 1), "layer"))];
  if (uncounted.length > 0) {
    const head = `At least: ${plural(uncounted.length, "operation")} not counted`;
    parts.push(folded(head, "Not counted", uncounted, "effdl-warn"));
  } else if (!partial) parts.push(html("span", {}, "Everything counted"));
  if (times?.warning) parts.push(html("span", { class: "effdl-warn" }, `Latency: ${times.warning}.`));
  if (zeros !== null) {
    const told = zeros.tensors.length > 0;
    parts.push(told ? folded(zeros.summary, "Tensors with zeros", zeros.tensors) : html("span", {}, zeros.summary));
  }
  parts.push(html("span", { class: "effdl-grow" }));
  for (const text of [times?.remark, ...notes]) if (text) parts.push(html("span", {}, text));
  return parts;
}

function folded(head: string, label: string, sentences: readonly string[], kind: string | null = null): HTMLElement {
  const list = html("ul", { tabindex: "0", "aria-label": label }, ...sentences.map((text) => html("li", {}, text)));
  return html("details", { class: kind }, html("summary", {}, head), list);
}
