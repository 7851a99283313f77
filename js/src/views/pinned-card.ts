/** The card beside the chart: the pinned candidate, what it changes, and the one button that matters. */

import { cardBody, cardHead } from "./card.js";
import { button } from "./controls.js";
import { fill, html, memo, setAll, setText, show } from "./dom.js";
import { candidateOf, type Scene } from "./scene.js";

export class PinnedCard {
  readonly root: HTMLElement;
  readonly #hint = html(
    "p",
    { class: "effdl-soft" },
    "Click a mark, or walk the front with ← and →, to see what it changes.",
  );
  readonly #head = html("div");
  readonly #body = html("div");
  readonly #buttons: HTMLElement;
  readonly #apply: HTMLButtonElement;
  readonly #memo = memo();

  constructor(events: { apply(): void; unpin(): void }, signal: AbortSignal) {
    this.#apply = button("Apply this one", { primary: true, command: true }, () => events.apply(), signal);
    const unpin = button("Unpin", {}, () => events.unpin(), signal);
    this.#buttons = html("div", { class: "effdl-card-buttons" }, this.#apply, unpin);
    this.root = html(
      "div",
      { class: "effdl-card", role: "group", "aria-label": "Chosen candidate" },
      this.#hint,
      this.#head,
      this.#buttons,
      this.#body,
    );
  }

  update(scene: Scene): void {
    const { payload, pinned } = scene;
    const candidate = candidateOf(payload, pinned);
    show(this.root, payload.candidates.length > 0);
    setAll(this.root, { "data-number": candidate?.number });
    show(this.#hint, candidate === undefined);
    show(this.#buttons, candidate !== undefined);
    this.#memo([candidate, candidateOf(payload, payload.dense), scene.work, scene.percent], () => {
      fill(this.#head, ...(candidate ? cardHead(candidate, scene) : []));
      fill(this.#body, ...(candidate ? cardBody(candidate) : []));
    });
    const applied = candidate !== undefined && payload.applied === candidate.number;
    this.#apply.disabled = candidate?.state !== "done" || applied;
    setText(this.#apply, applied ? "Applied" : "Apply this one");
  }
}
