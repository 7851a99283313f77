/** The foot of the Pareto view: how good the front is, where it bends, the best within the budget. */

import { maybeText, percentText, scoreText } from "../core/format.js";
import { frontOf, isPlaced } from "../core/front.js";
import type { ParetoPayload } from "../core/wire.js";
import { button } from "./controls.js";
import { fill, html, setText, show } from "./dom.js";
import { candidateTitle, type Scene } from "./scene.js";

export class ParetoFoot {
  readonly root: HTMLElement;
  readonly #volume = html("span", {
    title: "Share of the box from the worst score and the dense model's cost that the front dominates",
  });
  readonly #knee: HTMLButtonElement;
  readonly #best = html("span");
  readonly #keys = html("span", { class: "effdl-keys" }, "← → walk the front · Enter pins · A applies · Esc unpins");
  readonly #volumes = new Map<string, { last: number; change: number }>();
  #kneeNumber: number | null = null;

  constructor(pin: (number: number) => void, signal: AbortSignal) {
    const press = (): void => {
      if (this.#kneeNumber !== null) pin(this.#kneeNumber);
    };
    this.#knee = button("", { className: "effdl-link", title: "Where a little more cost stops to pay" }, press, signal);
    this.root = html(
      "div",
      { class: "effdl-foot" },
      this.#volume,
      this.#knee,
      this.#best,
      html("span", { class: "effdl-grow" }),
      this.#keys,
    );
  }

  /** Keep the last change of each hypervolume, so that a reader sees it grow. */
  note(payload: ParetoPayload): void {
    for (const [key, value] of Object.entries(payload.hypervolume)) {
      if (value === null) continue;
      const before = this.#volumes.get(key);
      if (!before) this.#volumes.set(key, { last: value, change: 0 });
      else if (before.last !== value) this.#volumes.set(key, { last: value, change: value - before.last });
    }
  }

  update(scene: Scene): void {
    const { payload, axis, budget } = scene;
    const volume = payload.hypervolume[axis.key] ?? null;
    const change = this.#volumes.get(axis.key)?.change ?? 0;
    const tone = change > 0 ? "effdl-good" : "effdl-bad";
    const grown =
      change === 0
        ? null
        : html("span", { class: tone }, ` ${change > 0 ? "+" : "\u2212"}${Math.abs(change).toFixed(3)}`);
    fill(
      this.#volume,
      "Hypervolume ",
      html(
        "b",
        {},
        maybeText(volume, (value) => value.toFixed(3)),
      ),
      grown,
    );
    show(this.#volume, volume !== null);
    this.#kneeNumber = payload.knee[axis.key] ?? null;
    show(this.#knee, this.#kneeNumber !== null);
    setText(this.#knee, `Knee: candidate ${this.#kneeNumber}`);
    show(this.#keys, payload.candidates.length > 0);
    show(this.#best, budget !== null);
    if (budget !== null) setText(this.#best, `Best within ${axis.write(budget)}: ${bestWithin(scene, budget)}`);
  }
}

function bestWithin(scene: Scene, budget: number): string {
  const best = frontOf(scene.points)
    .filter((point) => point.x <= budget)
    .at(-1);
  if (!best) return "none";
  const dense = scene.points.filter(isPlaced).find((point) => point.dense);
  const less = dense && dense.x > 0 ? ` (${percentText(best.x / dense.x - 1)})` : "";
  return `${candidateTitle(best.candidate, scene.payload).toLowerCase()}, ${scoreText(best.y, scene.percent)}${less}`;
}
