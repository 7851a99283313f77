/** The chart as a table, for those who read rather than look; its rows pin candidates too. */

import { quantity } from "../core/axes.js";
import { maybeText, scoreText } from "../core/format.js";
import { sourceText, wayUp } from "../core/rungs.js";
import type { CandidateRow } from "../core/wire.js";
import { fill, html } from "./dom.js";
import type { Scene } from "./scene.js";

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
  update(scene: Scene): void {
    this.#draw = () => {
      if (!this.root.open) return;
      const held = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.pin : undefined;
      fill(this.#body, table(scene));
      if (held !== undefined) this.#body.querySelector<HTMLElement>(`[data-pin="${held}"]`)?.focus();
    };
    this.#draw();
  }

  #press(event: MouseEvent): void {
    const row = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-pin]") : null;
    if (row) this.#pin(Number(row.dataset.pin));
  }
}

function table(scene: Scene): HTMLElement {
  const { payload } = scene;
  const front = new Set(payload.fronts[scene.axis.key] ?? []);
  const axes = payload.axes.map((key) => quantity(key, scene.work));
  const titles = ["Candidate", "What", "State", "Rung", "Source", payload.metric, ...axes.map((axis) => axis.title)];
  const rows = payload.candidates.map((candidate) => {
    const name = candidate.number === payload.dense ? "dense" : String(candidate.number);
    const place = front.has(candidate.number) ? "on the front" : candidate.state;
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
      html("td", {}, candidate.climbed.length > 0 ? wayUp(candidate, scene.percent) : candidate.rung),
      html("td", {}, sourceText(candidate.source)),
      html(
        "td",
        {},
        told(candidate, "score", (value) => scoreText(value, scene.percent)),
      ),
      ...axes.map((axis) =>
        html(
          "td",
          {},
          told(candidate, axis.key, (value) => axis.write(value * axis.factor)),
        ),
      ),
    );
  });
  const head = html(
    "tr",
    {},
    ...titles.map((title, index) => html("th", { scope: "col", class: index === 1 ? "effdl-words" : null }, title)),
  );
  return html(
    "table",
    {},
    html("caption", { class: "effdl-sr" }, `Candidates of ${payload.title}`),
    html("thead", {}, head),
    html("tbody", {}, ...rows),
  );
}

/** A value, with its error where it was measured with one. */
function told(candidate: CandidateRow, key: string, write: (value: number) => string): string {
  const error = candidate.errors[key];
  return maybeText(candidate.values[key], write) + (error ? ` ± ${write(error)}` : "");
}
