/** What chosen suggestions make of the whole model, in a line. */

import { FLOPS_PER_MAC, type Work } from "../core/axes.js";
import { bytesText, countText, percentText } from "../core/format.js";
import type { Preview, Totals } from "../core/wire.js";
import { html } from "./dom.js";

/** The change of parameters, work and peak from the model as it was, and what stays. */
export function outcomeLine(outcome: Preview, totals: Totals, work: Work): HTMLElement {
  const factor = work === "flops" ? FLOPS_PER_MAC : 1;
  const root = html("span", { class: "effdl-outcome" });
  root.append(
    piece(outcome.params, totals.params, "parameters", countText),
    ", ",
    piece(outcome.macs * factor, totals.macs * factor, work === "flops" ? "FLOPs" : "MACs", countText),
  );
  if (outcome.inference_peak_bytes !== null && totals.inference_peak_bytes !== null) {
    root.append(", ", piece(outcome.inference_peak_bytes, totals.inference_peak_bytes, "peak", bytesText));
  }
  return root;
}

function piece(value: number, whole: number, name: string, write: (value: number) => string): HTMLElement {
  const fraction = whole > 0 ? value / whole - 1 : 0;
  const tone = fraction < 0 ? "effdl-good" : fraction > 0 ? "effdl-bad" : "effdl-muted";
  return html(
    "span",
    { title: `${write(whole)} before, ${write(value)} after` },
    html("b", { class: tone }, percentText(fraction)),
    ` ${name} `,
    html("span", { class: "effdl-muted" }, `(${write(value)})`),
  );
}
