/** The quantities that views show: their titles and how they are written. */

import { bytesText, countText, secondsText } from "./format.js";

export interface Quantity {
  /** Key of the axis as the page names it. */
  id: string;
  /** Key in the payload. */
  key: string;
  title: string;
  /** What one unit in the payload is worth on screen: a MAC is two FLOPs. */
  factor: number;
  write(value: number): string;
}

/** How work is shown: FLOPs are twice the MACs. */
export type Work = "flops" | "macs";

export const FLOPS_PER_MAC = 2;

const KNOWN: Record<string, Omit<Quantity, "id" | "key">> = {
  params: { title: "Parameters", factor: 1, write: countText },
  macs: { title: "MACs", factor: 1, write: countText },
  param_bytes: { title: "Parameter bytes", factor: 1, write: bytesText },
  inference_peak_bytes: { title: "Inference peak", factor: 1, write: bytesText },
  saved_bytes: { title: "Saved for backward", factor: 1, write: bytesText },
  training_peak_bytes: { title: "Training peak", factor: 1, write: bytesText },
  output_bytes: { title: "Output", factor: 1, write: bytesText },
  moved_bytes: { title: "Moved", factor: 1, write: bytesText },
  elementwise_ops: { title: "Elementwise", factor: 1, write: countText },
  latency_s: { title: "Latency", factor: 1, write: secondsText },
};

/** The quantity behind a key of a payload; one that the page does not know is shown by its key. */
export function quantity(key: string, work: Work = "macs"): Quantity {
  if (key === "macs" && work === "flops") {
    return { id: "flops", key, title: "FLOPs", factor: FLOPS_PER_MAC, write: countText };
  }
  const write = key.endsWith("_bytes")
    ? bytesText
    : key.endsWith("_s")
      ? secondsText
      : (value: number) => countText(value);
  return { id: key, key, ...(KNOWN[key] ?? { title: key.replaceAll("_", " "), factor: 1, write }) };
}

/** The choices of an axis: work can be read in FLOPs or in MACs. */
export function axisChoices(keys: readonly string[], first: Work): Quantity[] {
  return keys.flatMap((key) => {
    if (key !== "macs") return [quantity(key)];
    const both = [quantity(key, "flops"), quantity(key, "macs")];
    return first === "flops" ? both : both.reverse();
  });
}

/** What a goal of the suggestion list is called, and the sentence over the list. */
export function goalTitle(goal: string): { short: string; long: string } {
  const known: Record<string, { short: string; long: string }> = {
    latency_s: { short: "Latency", long: "To make it faster on this machine" },
    params: { short: "Parameters", long: "To make it smaller" },
    param_bytes: { short: "Size", long: "To make it smaller" },
    macs: { short: "FLOPs", long: "To make it do less work" },
    saved_bytes: { short: "Training memory", long: "To train it in less memory" },
    inference_peak_bytes: { short: "Peak memory", long: "To run it in less memory" },
    download_bytes: { short: "Download", long: "To make it a smaller download" },
    output_bytes: { short: "Activations", long: "To make its activations smaller" },
    moved_bytes: { short: "Traffic", long: "To move fewer bytes" },
  };
  const title = quantity(goal).title;
  return known[goal] ?? { short: title, long: `To lower ${title.toLowerCase()}` };
}
