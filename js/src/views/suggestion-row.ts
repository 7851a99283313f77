/** One suggestion: what and where, what it brings, why, and the bad news in plain words. */

import { FLOPS_PER_MAC, type Work } from "../core/axes.js";
import { bytesText, changeText, countText, percentText, scoreText, shareText } from "../core/format.js";
import type { SuggestionRow, SuggestionsPayload, Totals } from "../core/wire.js";
import { button } from "./controls.js";
import { html } from "./dom.js";
import { familyMark, riskPips } from "./marks.js";

export interface Tick {
  root: HTMLElement;
  input: HTMLInputElement;
}

/** What the list can be sorted by: the lowest value first, for that is the most saved and the least risked. */
export type SortBy = "params" | "macs" | "inference_peak_bytes" | "latency" | "error" | "score" | "risk";

/** Titles of the number columns, in the order of the cells; pressed, they sort. */
export function headings(work: Work, sort: (by: SortBy | null) => void, signal: AbortSignal): HTMLElement {
  const columns: [SortBy, string][] = [
    ["params", "Params"],
    ["macs", work === "flops" ? "FLOPs" : "MACs"],
    ["inference_peak_bytes", "Peak"],
    ["latency", "Time"],
    ["error", "Output error"],
    ["score", "Score"],
    ["risk", "Risk"],
  ];
  const head = (by: SortBy | null, title: string): HTMLElement => {
    const options = { className: "effdl-sort", title: by ? `Sort by ${title}` : "In the order of the goal" };
    const press = button(title, options, () => sort(by), signal);
    press.dataset.sort = by ?? "";
    return html("span", { class: by ? cellClass(title) : null }, press);
  };
  return html(
    "div",
    { class: "effdl-sugg effdl-sugg-head", role: "group", "aria-label": "Order of the suggestions" },
    head(null, "What and where"),
    ...columns.map(([by, title]) => head(by, title)),
  );
}

/** The rows in an order: of the goal, or by a column; what was not measured stands last. */
export function sorted(
  rows: readonly SuggestionRow[],
  by: SortBy | null,
  payload: SuggestionsPayload,
): SuggestionRow[] {
  if (by === null) return [...rows];
  const whole = by === "score" ? -1 : 1; // a score is better when higher
  const value = (row: SuggestionRow): number => {
    const found = row[by];
    return found === null || (by === "inference_peak_bytes" && payload.totals.inference_peak_bytes === null)
      ? Number.POSITIVE_INFINITY
      : whole * found;
  };
  return [...rows].sort((a, b) => compare(value(a), value(b)) || a.index - b.index);
}

function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0; // infinity minus itself is no number
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
        ? html("span", { class: "effdl-muted", title: "Not measured: give calibration data" }, "–")
        : html(
            "span",
            { title: "Change of the model's outputs on calibration data, as a share of their norm" },
            shareText(row.error),
          ),
    ),
    cell("Score", row.score === null ? html("span", { class: "effdl-muted" }, "–") : scoreText(row.score, false)),
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
