/** The strip of totals over the layer table: the whole first, with the layer that is responsible beside each memory. */

import { FLOPS_PER_MAC, type Work } from "../core/axes.js";
import { bytesText, countText, secondsText } from "../core/format.js";
import type { LayersPayload } from "../core/wire.js";
import { html } from "./dom.js";

interface Tile {
  title: string;
  value: string;
  note?: string;
  hint?: string;
  /** Name of the layer that is responsible. */
  at?: string | null;
  /** Every layer has a share, and that one has the largest. */
  shared?: boolean;
}

/** Draw the tiles; `jump` is called with the name of a layer. Listeners live as long as the tiles. */
export function totalsStrip(payload: LayersPayload, work: Work, jump: (name: string) => void): HTMLElement {
  const root = html("dl", { class: "effdl-totals" });
  for (const tile of tilesOf(payload, work)) {
    const value = html("dd", {}, html("strong", {}, tile.value));
    if (tile.note) value.append(html("span", { class: "effdl-note", title: tile.hint }, tile.note));
    const at = tile.at;
    if (at !== null && at !== undefined) {
      const name = at === "" ? payload.title : at;
      const leaf = name.lastIndexOf(".") + 1; // what has no room is cut before it
      const link = html(
        "button",
        { type: "button", class: "effdl-link", title: `Show ${name} in the table` },
        html("span", {}, `${tile.shared ? "largest:" : "at"} ${name.slice(0, leaf)}`),
        html("span", {}, name.slice(leaf)),
      );
      link.addEventListener("click", () => jump(at));
      value.append(html("div", { class: "effdl-where" }, link)); // a line of its own: the tiles stand in line
    }
    root.append(html("div", {}, html("dt", {}, tile.title), value));
  }
  return root;
}

function tilesOf(payload: LayersPayload, work: Work): Tile[] {
  const { totals, partial } = payload;
  const least = payload.uncounted.length > 0 ? "at least" : undefined;
  const macs = work === "flops" ? totals.macs * FLOPS_PER_MAC : totals.macs;
  const optimizer = totals.optimizer ? `, ${totals.optimizer.toUpperCase()}` : "";
  const memory = (value: number | null, at: string | null, shared = false): Omit<Tile, "title"> => ({
    value: value === null ? "–" : bytesText(value),
    note: value !== null && totals.hidden.length > 0 ? "at least" : undefined,
    hint: `A kernel keeps memory out of sight: ${totals.hidden.map((name) => name || payload.title).join(", ")}`,
    at,
    shared,
  });
  const tiles: Tile[] = [
    {
      title: "Parameters",
      value: countText(totals.params),
      note: bytesText(totals.param_bytes),
      hint: "with buffers",
      at: totals.param_at,
      shared: true,
    },
    { title: work === "flops" ? "FLOPs (2 × MACs)" : "MACs", value: partial ? "–" : countText(macs), note: least },
    { title: "Inference peak", ...memory(totals.inference_peak_bytes, totals.inference_peak_at) },
    { title: "Saved for backward", ...memory(totals.saved_bytes, totals.saved_at, true) },
    { title: `Training peak${optimizer}`, ...memory(totals.training_peak_bytes, totals.training_peak_at) },
  ];
  if (totals.latency_s !== null) {
    const spread =
      totals.latency_iqr_s === null ? undefined : `± ${secondsText(totals.latency_iqr_s / 2, totals.latency_s)}`;
    tiles.push({ title: "Latency", value: secondsText(totals.latency_s), note: spread });
  }
  return tiles;
}
