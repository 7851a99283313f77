/** The cards of the Pareto view: the small one under the pointer, and the one beside the chart for the pinned candidate. */

import { FLOPS_PER_MAC, quantity } from "../core/axes.js";
import { familyOf } from "../core/families.js";
import { percentText, scoreText, secondsText } from "../core/format.js";
import { sourceText, wayUp } from "../core/rungs.js";
import type { CandidateRow, ParetoPayload } from "../core/wire.js";
import { diffList } from "./diff.js";
import { html } from "./dom.js";
import { familyMark } from "./marks.js";
import { candidateTitle, type Scene } from "./scene.js";

/** Numbers of a candidate with their change from the dense model. */
export function numbersList(candidate: CandidateRow, context: Scene): HTMLElement {
  const { payload, percent, work } = context;
  const dense = payload.candidates.find((other) => other.number === payload.dense);
  const list = html("dl", { class: "effdl-facts" });
  const score = candidate.values.score ?? null;
  const before = dense?.values.score ?? null;
  const compared = dense !== undefined && dense !== candidate;
  if (score !== null) {
    const change = compared && before !== null ? scoreChange(score - before, payload, percent) : null;
    const off = errorText(candidate.errors.score, (value) => scoreText(value, percent));
    const told = html("dd", {}, scoreText(score, percent), off, change);
    list.append(html("div", {}, html("dt", {}, payload.metric), told));
  }
  for (const key of payload.axes) {
    const value = candidate.values[key] ?? null;
    if (value === null) continue;
    const shown = quantity(key, work);
    const whole = dense?.values[key] ?? null;
    const factor = key === "macs" && work === "flops" ? FLOPS_PER_MAC : 1;
    const change = compared && whole !== null && whole > 0 ? costChange(value / whole - 1) : null;
    const off = errorText(candidate.errors[key], (error) => shown.write(error * factor));
    list.append(html("div", {}, html("dt", {}, shown.title), html("dd", {}, shown.write(value * factor), off, change)));
  }
  return list;
}

function errorText(error: number | undefined, write: (value: number) => string): HTMLElement | null {
  return error ? html("small", { class: "effdl-muted" }, ` ± ${write(error)}`) : null;
}

/** How far a candidate was taken and who thought of it. */
function origin(candidate: CandidateRow, context: Scene): Node[] {
  if (candidate.number === context.payload.dense) return [];
  const climbed = candidate.climbed.length > 0 ? wayUp(candidate, context.percent) : candidate.rung;
  const source = sourceText(candidate.source);
  return [
    html("div", { class: "effdl-soft effdl-way" }, climbed),
    ...(source ? [html("div", { class: "effdl-soft" }, source)] : []),
  ];
}

function scoreChange(by: number, payload: ParetoPayload, percent: boolean): HTMLElement {
  const better = payload.metric_better === "higher" ? by > 0 : by < 0;
  const text = percent ? `${(100 * Math.abs(by)).toFixed(1)} pts` : scoreText(Math.abs(by), false);
  const sign = by > 0 ? "+" : by < 0 ? "\u2212" : "±";
  return html("span", { class: by === 0 ? "effdl-muted" : better ? "effdl-good" : "effdl-bad" }, ` ${sign}${text}`);
}

function costChange(fraction: number): HTMLElement {
  const tone = fraction < 0 ? "effdl-good" : fraction > 0 ? "effdl-bad" : "effdl-muted";
  return html("span", { class: tone }, ` ${percentText(fraction)}`);
}

/** The card under the pointer. */
export function hoverCard(candidate: CandidateRow, context: Scene): Node[] {
  return [
    html("b", {}, familyMark(familyName(candidate, context.payload)), candidateTitle(candidate, context.payload)),
    html("div", { class: "effdl-soft" }, candidate.label),
    numbersList(candidate, context),
    ...origin(candidate, context),
    ...(candidate.note
      ? [html("div", { class: candidate.state === "failed" ? "effdl-bad" : "effdl-soft" }, candidate.note)]
      : []),
  ];
}

/** What stands in the side card over the buttons. */
export function cardHead(candidate: CandidateRow, context: Scene): Node[] {
  const { payload } = context;
  const family = familyOf(familyName(candidate, payload)).title;
  const taken = candidate.seconds > 0 ? secondsText(candidate.seconds) : "";
  const line = [candidate.number === payload.dense ? "" : family, candidate.rung, taken].filter(Boolean).join(" · ");
  const parts: Node[] = [
    html("h4", {}, familyMark(familyName(candidate, payload)), candidateTitle(candidate, payload)),
    html("div", { class: "effdl-soft" }, line),
  ];
  if (candidate.label) parts.push(html("div", { class: "effdl-card-label" }, candidate.label));
  parts.push(numbersList(candidate, context));
  if (candidate.climbed.length > 0 || candidate.source) parts.push(...origin(candidate, context));
  if (candidate.note) {
    parts.push(html("p", { class: candidate.state === "failed" ? "effdl-bad" : "effdl-soft" }, candidate.note));
  }
  return parts;
}

/** What stands in the side card under the buttons: the steps, and the architecture before and after. */
export function cardBody(candidate: CandidateRow): Node[] {
  const parts: Node[] = [];
  if (candidate.steps.length > 0) {
    const items = candidate.steps.map((step) =>
      html(
        "li",
        {},
        familyMark(step.family),
        `${step.transform.replaceAll("_", " ")} `,
        html("b", {}, step.layers.join(", ")),
        html("span", { class: "effdl-soft" }, ` ${step.settings}`),
      ),
    );
    parts.push(
      html(
        "details",
        {},
        html("summary", {}, `${items.length === 1 ? "1 step" : `${items.length} steps`}`),
        html("ol", { class: "effdl-steps" }, ...items),
      ),
    );
  }
  if (candidate.diff.length > 0) parts.push(diffList(candidate.diff));
  return parts;
}

function familyName(candidate: CandidateRow, payload: ParetoPayload): string {
  return candidate.number === payload.dense ? "dense" : candidate.family;
}
