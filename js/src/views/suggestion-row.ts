/** One suggestion: what and where, what it brings, why, and the bad news in plain words. */

import { FLOPS_PER_MAC, type Work } from "../core/axes.js";
import { bytesText, changeText, countText, percentText, shareText } from "../core/format.js";
import type { SuggestionRow, SuggestionsPayload, Totals } from "../core/wire.js";
import { html } from "./dom.js";
import { familyMark, riskPips } from "./marks.js";

export interface Tick {
  root: HTMLElement;
  input: HTMLInputElement;
}

/** Titles of the number columns, in the order of the cells. */
export function headings(work: Work): HTMLElement {
  const titles = ["Params", work === "flops" ? "FLOPs" : "MACs", "Peak", "Time", "Output error", "Risk"];
  const cells = titles.map((title) => html("span", { class: cellClass(title) }, title));
  return html(
    "div",
    { class: "effdl-sugg effdl-sugg-head", "aria-hidden": "true" },
    html("span"),
    html("span", {}, "What and where"),
    ...cells,
  );
}

/** Draw a row; the check box is named by the headline. */
export function suggestionRow(row: SuggestionRow, payload: SuggestionsPayload, work: Work): Tick {
  const input = html("input", { type: "checkbox", "data-index": row.index });
  const applied = payload.applied?.indices.includes(row.index) ?? false;
  const headline = html(
    "label",
    { class: "effdl-headline" },
    input,
    familyMark(row.family),
    html("b", {}, row.headline),
  );
  const what = html(
    "div",
    { class: "effdl-what" },
    headline,
    applied ? html("span", { class: "effdl-chip effdl-good" }, "applied") : null,
  );
  const why = html("div", { class: "effdl-why" });
  for (const warning of row.warnings) why.append(html("span", { class: "effdl-bad" }, warning), " ");
  why.append(row.reason);
  const root = html(
    "li",
    { class: "effdl-sugg", "data-index": row.index, "data-family": row.family },
    what,
    ...numbers(row, payload.totals, work),
    why,
  );
  return { root, input };
}

function numbers(row: SuggestionRow, totals: Totals, work: Work): HTMLElement[] {
  const factor = work === "flops" ? FLOPS_PER_MAC : 1;
  const peak = row.inference_peak_bytes;
  return [
    change("Params", row.params, totals.params, (value) => countText(value)),
    change(work === "flops" ? "FLOPs" : "MACs", row.macs * factor, totals.macs * factor, (value) => countText(value)),
    peak === null || totals.inference_peak_bytes === null
      ? cell("Peak", html("span", { class: "effdl-muted" }, "–"))
      : change("Peak", peak, totals.inference_peak_bytes, bytesText),
    time(row),
    cell(
      "Output error",
      row.error === null
        ? html("span", { class: "effdl-muted" }, "not measured")
        : html(
            "span",
            { title: "Change of the model's outputs on calibration data, as a share of their norm" },
            shareText(row.error),
          ),
    ),
    cell("Risk", riskPips(row.risk)),
  ];
}

/** The measured change of the time, with its sign and how far it may be off. */
function time(row: SuggestionRow): HTMLElement {
  if (row.latency === null) return cell("Time", html("span", { class: "effdl-muted" }, "–"));
  const error = row.latency_error ?? 0;
  const sure = Math.abs(row.latency) > error;
  const tone = sure && row.latency < 0 ? "effdl-good" : sure && row.latency > 0 ? "effdl-bad" : "effdl-muted";
  const title = "Change of the time of a forward, from the piece that it changes, measured on this machine";
  return cell(
    "Time",
    html("span", { class: tone, title }, percentText(row.latency)),
    " ",
    html("small", { class: "effdl-muted" }, `± ${shareText(error)}`),
  );
}

function cellClass(title: string): string {
  return `effdl-cell effdl-cell-${title.toLowerCase().split(" ")[0]}`;
}

function cell(title: string, ...children: (Node | string)[]): HTMLElement {
  return html("span", { class: cellClass(title) }, html("span", { class: "effdl-sr" }, `${title}: `), ...children);
}

function change(title: string, value: number, whole: number, write: (value: number) => string): HTMLElement {
  const tone = value < 0 ? "effdl-good" : value > 0 ? "effdl-bad" : "effdl-muted";
  const share = html("span", { class: tone }, whole > 0 ? percentText(value / whole) : changeText(value, write));
  const absolute = html("small", { class: "effdl-muted" }, value === 0 ? "" : changeText(value, write));
  return cell(title, share, " ", absolute);
}
