/** What the chart shows against what: the cost axis, its scale, a budget; and the legend. */

import { axisChoices, type Quantity, quantity, type Work } from "../core/axes.js";
import { familyOf } from "../core/families.js";
import { isPlaced, type Point } from "../core/front.js";
import { checkBox, select } from "./controls.js";
import { fill, html, memo, setAll } from "./dom.js";
import { familyMark } from "./marks.js";
import type { Scene } from "./scene.js";

const OPEN = 100; // the slider's right end: no budget

export class ParetoTools {
  readonly root: HTMLElement;
  readonly #work: Work;
  readonly #signal: AbortSignal;
  readonly #changed: () => void;
  readonly #holder = html("span");
  readonly #log: HTMLInputElement;
  readonly #slider = html("input", { type: "range", min: 0, max: OPEN, step: 0.5, "aria-label": "Budget" });
  readonly #legend = html("div", { class: "effdl-legend" });
  readonly #memo = { axes: memo(), legend: memo() };
  #choices: Quantity[] = [];
  #axis: Quantity;

  constructor(work: Work, changed: () => void, signal: AbortSignal) {
    this.#work = work;
    this.#axis = quantity("macs", work);
    this.#signal = signal;
    this.#changed = changed;
    const log = checkBox("Log", changed, signal);
    log.root.title = "Logarithmic cost axis";
    this.#log = log.input;
    this.#slider.value = String(OPEN);
    this.#slider.addEventListener("input", changed, { signal });
    const budget = html("label", { class: "effdl-check", title: "Largest cost to pay" }, "Budget", this.#slider);
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
      this.#axis = this.#choices.find((choice) => choice.id === this.#axis.id) ?? this.#choices[0] ?? this.#axis;
      const options = this.#choices.map((choice) => ({ value: choice.id, label: choice.title }));
      const list = select("Cost axis", options, (id) => this.#take(id), this.#signal);
      list.value = this.#axis.id;
      fill(
        this.#holder,
        html("label", { class: "effdl-check" }, html("span", { "aria-hidden": "true" }, "Against"), list),
      );
    });
  }

  /** The largest wanted cost; null when the slider is at its right end. */
  budget(points: readonly Point[]): number | null {
    const ends = endsOf(points);
    const place = Number(this.#slider.value);
    const budget = ends === null || place >= OPEN ? null : ends[0] + ((ends[1] - ends[0]) * place) / OPEN;
    const text = budget === null ? "no limit" : `at most ${this.#axis.write(budget)}`;
    setAll(this.#slider, { "aria-valuetext": text });
    return budget;
  }

  /** Move the budget to a cost, as the line in the chart is dragged. */
  drag(cost: number, points: readonly Point[]): void {
    const ends = endsOf(points);
    if (ends === null) return;
    const place = ends[1] > ends[0] ? (OPEN * (cost - ends[0])) / (ends[1] - ends[0]) : OPEN;
    this.#slider.value = String(Math.max(0, Math.min(OPEN, place)));
    this.#changed();
  }

  /** Draw the legend: only what is in the chart. */
  update(scene: Scene): void {
    const { payload, points } = scene;
    const others = payload.candidates.filter((candidate) => candidate.number !== payload.dense);
    const families = [...new Map(others.map(({ family }) => [familyOf(family).title, family])).entries()].sort();
    const failed = points.some((point) => point.candidate.state === "failed" && point.x !== null);
    this.#memo.legend([families, failed], () => {
      const items = families.map(([title, name]) => html("span", {}, familyMark(name), title));
      if (failed)
        items.push(html("span", {}, html("span", { class: "effdl-bad", "aria-hidden": "true" }, "✕"), "Failed"));
      if (items.length > 0) items.push(html("span", { class: "effdl-muted" }, "faded: beaten by another"));
      fill(this.#legend, ...items);
    });
  }

  #take(id: string): void {
    this.#axis = this.#choices.find((choice) => choice.id === id) ?? this.#axis;
    this.#slider.value = String(OPEN);
    this.#changed();
  }
}

function endsOf(points: readonly Point[]): [number, number] | null {
  const costs = points.filter(isPlaced).map((point) => point.x);
  return costs.length === 0 ? null : [Math.min(...costs), Math.max(...costs)];
}
