/** The columns of the layer table: what each one shows for a layer. */

import { FLOPS_PER_MAC, quantity, type Work } from "../core/axes.js";
import { plural, secondsText } from "../core/format.js";
import { type Measure, type SortKey, valuesOf } from "../core/tree.js";
import type { LayersPayload } from "../core/wire.js";

export interface Column {
  key: SortKey;
  title: string;
  /** For narrow places, where the title is long. */
  short?: string;
  hint: string;
  /** Shown at first; the others can be switched on. */
  first: boolean;
  /** Of numbers: right-aligned, with a share bar. */
  measure: Measure | null;
}

const HINTS: Record<Measure, string> = {
  params: "Parameters: numbers in the weights and biases",
  macs: "Work of convolutions and matrix products",
  saved_bytes: "Bytes that the forward pass keeps for the backward pass",
  output_bytes: "Bytes of the outputs",
  elementwise_ops: "Elementwise and normalisation operations; not part of the FLOPs",
  moved_bytes: "Bytes read and written",
  latency_s: "Measured time of the layer alone, scaled to the measured whole",
};

/** All columns in their order; that of the time where there are times. */
export function columnsOf(work: Work, timed: boolean): Column[] {
  const measure = (key: Measure, first: boolean, title?: string): Column => ({
    key,
    title: title ?? quantity(key).title,
    hint: key === "macs" && work === "flops" ? `${HINTS.macs}; one MAC is two FLOPs` : HINTS[key],
    first,
    measure: key,
  });
  return [
    { key: "label", title: "Layer", hint: "Name and kind", first: true, measure: null },
    { key: "outputs", title: "Output", hint: "Shape of the output", first: true, measure: null },
    { key: "calls", title: "Calls", hint: "How often it runs in one forward pass", first: false, measure: null },
    { ...measure("params", true), short: "Params" },
    measure("macs", true, work === "flops" ? "FLOPs" : "MACs"),
    measure("saved_bytes", true, "Saved"),
    ...(timed ? [measure("latency_s", true)] : []),
    measure("output_bytes", false, "Output bytes"),
    measure("elementwise_ops", false),
    measure("moved_bytes", false),
  ];
}

/** The value of a measured column for a layer, and its share of the whole model. */
export function measured(
  payload: LayersPayload,
  key: Measure,
  index: number,
  options: { scope: "own" | "total"; work: Work },
): { text: string; share: number; zero: boolean } | null {
  if (payload.partial && key !== "params") return null;
  const value = valuesOf(payload, key, options.scope)[index];
  if (value === null || value === undefined) return null;
  const whole = valuesOf(payload, key, "total")[0] ?? 0;
  const shown = quantity(key);
  const factor = key === "macs" && options.work === "flops" ? FLOPS_PER_MAC : 1;
  return { text: shown.write(value * factor), share: whole > 0 ? value / whole : 0, zero: value === 0 };
}

/** How far the measured times of a layer spread, as its tooltip. */
export function spreadText(payload: LayersPayload, index: number, scope: "own" | "total"): string | null {
  const times = payload.times;
  const seconds = (scope === "own" ? times?.own_s : times?.total_s)?.[index];
  const spread = (scope === "own" ? times?.own_iqr_s : times?.total_iqr_s)?.[index];
  if (typeof seconds !== "number" || typeof spread !== "number") return null;
  return `± ${secondsText(spread / 2, seconds)}, ${plural(times?.repeats[index] ?? 0, "run")}`;
}
