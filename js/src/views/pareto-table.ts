/** The chart as a table, for those who read rather than look; its rows pin candidates too. */

import { quantity, type Work } from "../core/axes.js";
import { maybeText, scoreText } from "../core/format.js";
import type { ParetoPayload } from "../core/wire.js";
import { fill, html } from "./dom.js";

export class ParetoTable {
  readonly root: HTMLDetailsElement;
  readonly #body = html("div", { class: "effdl-twin-scroll" });
  readonly #pin: (number: number) => void;
  #draw: (() => void) | null = null;

  constructor(pin: (number: number) => void, signal: AbortSignal) {
    this.#pin = pin;
    this.root = html("details", { class: "effdl-twin" }, html("summary", {}, "As a table"), this.#body);
    this.root.addEventListener("toggle", () => this.#draw?.(), { signal });
    this.#body.addEventListener("click", (event) => this.#press(event), { signal });
  }

  /** Take new numbers; they are drawn when the table is open. */
  update(payload: ParetoPayload, options: { front: ReadonlySet<number>; percent: boolean; work: Work }): void {
    this.#draw = () => {
      if (!this.root.open) return;
      const held = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.pin : undefined;
      fill(this.#body, table(payload, options));
      if (held !== undefined) this.#body.querySelector<HTMLElement>(`[data-pin="${held}"]`)?.focus();
    };
    this.#draw();
  }

  #press(event: MouseEvent): void {
    const row = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-pin]") : null;
    if (row) this.#pin(Number(row.dataset.pin));
  }
}

function table(
  payload: ParetoPayload,
  options: { front: ReadonlySet<number>; percent: boolean; work: Work },
): HTMLElement {
  const axes = payload.axes.map((key) => quantity(key, options.work));
  const titles = ["Candidate", "What", "State", payload.metric, ...axes.map((axis) => axis.title)];
  const rows = payload.candidates.map((candidate) => {
    const name = candidate.number === payload.dense ? "dense" : String(candidate.number);
    const place = options.front.has(candidate.number) ? "on the front" : candidate.state;
    return html(
      "tr",
      {},
      html(
        "th",
        { scope: "row" },
        html("button", { type: "button", class: "effdl-link", "data-pin": candidate.number }, name),
      ),
      html("td", { class: "effdl-words" }, candidate.label),
      html("td", {}, candidate.state === "done" ? place : candidate.state),
      html(
        "td",
        {},
        maybeText(candidate.values.score, (value) => scoreText(value, options.percent)),
      ),
      ...axes.map((axis) =>
        html(
          "td",
          {},
          maybeText(candidate.values[axis.key], (value) => axis.write(value * axis.factor)),
        ),
      ),
    );
  });
  const head = html("tr", {}, ...titles.map((title) => html("th", { scope: "col" }, title)));
  return html(
    "table",
    {},
    html("caption", { class: "effdl-sr" }, `Candidates of ${payload.title}`),
    html("thead", {}, head),
    html("tbody", {}, ...rows),
  );
}
