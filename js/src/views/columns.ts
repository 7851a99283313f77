/** The columns of the layer table: what each one shows for a layer. */

import { FLOPS_PER_MAC, quantity, type Work } from "../core/axes.js";
import type { SortKey } from "../core/tree.js";
import type { Columns, LayersPayload } from "../core/wire.js";

export interface Column {
  key: SortKey;
  title: string;
  /** For narrow places, where the title is long. */
  short?: string;
  hint: string;
  /** Shown at first; the others can be switched on. */
  first: boolean;
  /** Of numbers: right-aligned, with a share bar. */
  measure: keyof Columns | null;
}

const HINTS: Record<keyof Columns, string> = {
  params: "Parameters: numbers in the weights and biases",
  macs: "Work of convolutions and matrix products",
  saved_bytes: "Bytes that the forward pass keeps for the backward pass",
  output_bytes: "Bytes of the outputs",
  elementwise_ops: "Elementwise and normalisation operations; not part of the FLOPs",
  moved_bytes: "Bytes read and written",
};

/** All columns in their order. */
export function columnsOf(work: Work): Column[] {
  const measure = (key: keyof Columns, first: boolean, title?: string): Column => ({
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
    measure("output_bytes", false, "Output bytes"),
    measure("elementwise_ops", false),
    measure("moved_bytes", false),
  ];
}

/** The value of a measured column for a layer, and its share of the whole model. */
export function measured(
  payload: LayersPayload,
  key: keyof Columns,
  index: number,
  options: { scope: "own" | "total"; work: Work },
): { text: string; share: number; zero: boolean } | null {
  if (payload.partial && key !== "params") return null;
  const value = payload[options.scope][key][index] ?? 0;
  const whole = payload.total[key][0] ?? 0;
  const shown = quantity(key);
  const factor = key === "macs" && options.work === "flops" ? FLOPS_PER_MAC : 1;
  return { text: shown.write(value * factor), share: whole > 0 ? value / whole : 0, zero: value === 0 };
}
