/** What the chart shows against what: the cost axis, its scale, its budget; and the legend. */

import { axisChoices, type Quantity, quantity, type Work } from "../core/axes.js";
import { familyOf } from "../core/families.js";
import { isPlaced, type Point } from "../core/front.js";
import { rungHint, rungsOf } from "../core/rungs.js";
import type { Budgets } from "./budgets.js";
import { checkBox, select } from "./controls.js";
import { fill, html, memo, setAll } from "./dom.js";
import { familyMark, rungMark } from "./marks.js";
import type { Scene } from "./scene.js";

const OPEN = 100; // the slider's right end: no budget

export class ParetoTools {
  readonly root: HTMLElement;
  readonly #work: Work;
  readonly #signal: AbortSignal;
  readonly #changed: () => void;
  readonly #budgets: Budgets;
  readonly #holder = html("span");
  readonly #log: HTMLInputElement;
  readonly #slider = html("input", { type: "range", min: 0, max: OPEN, step: 0.5, "aria-label": "Budget" });
  readonly #legend = html("div", { class: "effdl-legend" });
  readonly #memo = { axes: memo(), legend: memo() };
  #choices: Quantity[] = [];
  #axis: Quantity;
  #points: readonly Point[] = [];
  #picked = false;

  constructor(work: Work, budgets: Budgets, changed: () => void, signal: AbortSignal) {
    this.#work = work;
    this.#axis = quantity("macs", work);
    this.#budgets = budgets;
    this.#signal = signal;
    this.#changed = changed;
    const log = checkBox("Log", changed, signal);
    log.root.title = "Logarithmic cost axis";
    this.#log = log.input;
    this.#slider.value = String(OPEN);
    this.#slider.addEventListener("input", () => this.#slide(), { signal });
    const title = "Largest cost to pay; the search keeps to it from its next candidate on";
    const budget = html("label", { class: "effdl-check", title }, "Budget", this.#slider);
    this.root = html(
      "div",
      { class: "effdl-tools" },
      this.#holder,
      log.root,
      budget,
      html("span", { class: "effdl-grow" }),
      this.#legend,
    );
  }

  get axis(): Quantity {
    return this.#axis;
  }

  get log(): boolean {
    return this.#log.checked;
  }

  /** Offer the axes of a payload. */
  offer(axes: readonly string[]): void {
    this.#memo.axes(axes, () => {
      this.#choices = axisChoices(axes, this.#work);
      // At first what the search is after; then what somebody chose, as long as there is that.
      const kept = this.#picked ? this.#choices.find((choice) => choice.id === this.#axis.id) : undefined;
      this.#axis = kept ?? this.#choices[0] ?? this.#axis;
      const options = this.#choices.map((choice) => ({ value: choice.id, label: choice.title }));
      const list = select("Cost axis", options, (id) => this.#take(id), this.#signal);
      list.value = this.#axis.id;
      fill(
        this.#holder,
        html("label", { class: "effdl-check" }, html("span", { "aria-hidden": "true" }, "Against"), list),
      );
    });
  }

  /** The largest wanted cost on this axis, as it is read there; null without one. The slider follows it. */
  budget(points: readonly Point[]): number | null {
    this.#points = points;
    const ends = endsOf(points);
    const limit = this.#budgets.get(this.#axis.key);
    const budget = limit === null ? null : limit * this.#axis.factor;
    const place = budget === null || ends === null ? OPEN : placeOf(budget, ends);
    if (Math.abs(Number(this.#slider.value) - place) > 0.25) this.#slider.value = String(place);
    const text = budget === null ? "no limit" : `at most ${this.#axis.write(budget)}`;
    setAll(this.#slider, { "aria-valuetext": text });
    return budget;
  }

  /** Move the budget to a cost, as the line in the chart is dragged. */
  drag(cost: number): void {
    const ends = endsOf(this.#points);
    if (ends === null) return;
    this.#ask(cost >= ends[1] ? null : Math.max(ends[0], cost));
  }

  /** Draw the legend: only what is in the chart. */
  update(scene: Scene): void {
    const { payload, points } = scene;
    const others = payload.candidates.filter((candidate) => candidate.number !== payload.dense);
    const families = [...new Map(others.map(({ family }) => [familyOf(family).title, family])).entries()].sort();
    const rungs = rungsOf(others.filter((candidate) => candidate.state === "done"));
    const failed = points.some((point) => point.candidate.state === "failed" && point.x !== null);
    const done = points.filter((point) => point.candidate.state === "done");
    const unknown = done.filter((point) => point.x === null).length;
    this.#memo.legend([families, rungs, failed, unknown, done.length], () => {
      const items = families.map(([title, name]) => html("span", {}, familyMark(name), title));
      if (rungs.length > 1 || (rungs[0] !== undefined && rungs[0] !== "repaired"))
        items.push(...rungs.map((rung) => html("span", { title: rungHint(rung) }, rungMark(rung), rung)));
      if (failed)
        items.push(html("span", {}, html("span", { class: "effdl-bad", "aria-hidden": "true" }, "✕"), "Failed"));
      if (items.length > 0) items.push(html("span", { class: "effdl-muted" }, "faded: beaten by another"));
      if (unknown > 0 && unknown < done.length)
        items.push(html("span", { class: "effdl-muted" }, `${unknown} not measured: far from the front`));
      fill(this.#legend, ...items);
    });
  }

  #slide(): void {
    const ends = endsOf(this.#points);
    const place = Number(this.#slider.value);
    this.#ask(ends === null || place >= OPEN ? null : ends[0] + ((ends[1] - ends[0]) * place) / OPEN);
  }

  #ask(cost: number | null): void {
    const dense = this.#points.find((point) => point.dense)?.x ?? null;
    const open = cost === null || (dense !== null && cost >= dense);
    this.#budgets.ask(this.#axis.key, open ? null : cost / this.#axis.factor);
    this.#changed();
  }

  #take(id: string): void {
    this.#picked = true;
    this.#axis = this.#choices.find((choice) => choice.id === id) ?? this.#axis;
    this.#changed();
  }
}

function placeOf(cost: number, [low, high]: readonly [number, number]): number {
  const place = high > low ? (OPEN * (cost - low)) / (high - low) : OPEN;
  return Math.max(0, Math.min(OPEN, place));
}

function endsOf(points: readonly Point[]): [number, number] | null {
  const costs = points.filter(isPlaced).map((point) => point.x);
  return costs.length === 0 ? null : [Math.min(...costs), Math.max(...costs)];
}
