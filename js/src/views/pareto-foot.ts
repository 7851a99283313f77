/** The foot of the Pareto view: how good the front is and became, what brought it, the best within the budgets. */

import { quantity } from "../core/axes.js";
import { maybeText, percentText, scoreText, shareText } from "../core/format.js";
import { isPlaced } from "../core/front.js";
import type { ParetoPayload } from "../core/wire.js";
import { button } from "./controls.js";
import { fill, html, memo, setText, show, svg } from "./dom.js";
import { candidateTitle, type Scene } from "./scene.js";

const MOST_SHARES = 4;
const SPARK = { width: 72, height: 18 };

export class ParetoFoot {
  readonly root: HTMLElement;
  readonly #volume = html("span", {
    title: "Share of the box from the worst score and the dense model's cost that the front dominates",
  });
  readonly #spark = html("span", { class: "effdl-spark" });
  readonly #shares = html("span", { class: "effdl-soft" });
  readonly #knee: HTMLButtonElement;
  readonly #best = html("span");
  readonly #limits = html("span", { class: "effdl-limits", role: "group", "aria-label": "Limits" });
  readonly #keys = html("span", { class: "effdl-keys" }, "← → walk the front · Enter pins · A applies · Esc unpins");
  readonly #volumes = new Map<string, { last: number; change: number }>();
  readonly #memo = { spark: memo(), shares: memo(), limits: memo() };
  readonly #lift: (axis: string) => void;
  readonly #signal: AbortSignal;
  #kneeNumber: number | null = null;

  constructor(events: { pin(number: number): void; lift(axis: string): void }, signal: AbortSignal) {
    const press = (): void => {
      if (this.#kneeNumber !== null) events.pin(this.#kneeNumber);
    };
    this.#lift = (axis) => events.lift(axis);
    this.#signal = signal;
    this.#knee = button("", { className: "effdl-link", title: "Where a little more cost stops to pay" }, press, signal);
    this.root = html(
      "div",
      { class: "effdl-foot" },
      this.#volume,
      this.#spark,
      this.#shares,
      this.#knee,
      this.#limits,
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
    const { payload, axis } = scene;
    const volume = payload.hypervolume[axis.key] ?? null;
    const change = this.#volumes.get(axis.key)?.change ?? 0;
    const tone = change > 0 ? "effdl-good" : "effdl-bad";
    const grown =
      Math.abs(change) < 0.0005
        ? null
        : html("span", { class: tone }, ` ${change > 0 ? "+" : "\u2212"}${Math.abs(change).toFixed(3)}`);
    const text = maybeText(volume, (value) => value.toFixed(3));
    fill(this.#volume, "Hypervolume ", html("b", {}, text), grown);
    show(this.#volume, volume !== null);
    this.#drawHistory(scene);
    this.#kneeNumber = payload.knee[axis.key] ?? null;
    show(this.#knee, this.#kneeNumber !== null);
    setText(this.#knee, `Knee: candidate ${this.#kneeNumber}`);
    show(this.#keys, payload.candidates.length > 0);
    this.#drawLimits(scene);
  }

  /** What is told of the whole search belongs to the first axis it is after. */
  #drawHistory(scene: Scene): void {
    const { volumes, contributions, objectives, axes } = scene.payload;
    const first = scene.axis.key === (objectives[0] ?? axes[0]);
    show(this.#spark, first && volumes.length > 1);
    if (first) this.#memo.spark(volumes, () => fill(this.#spark, sparkline(volumes)));
    const ranked = Object.entries(contributions).sort((a, b) => b[1] - a[1]);
    show(this.#shares, first && ranked.length > 0);
    this.#memo.shares(contributions, () => {
      const said = ranked.map(([name, share]) => `${name.replaceAll("_", " ")} ${shareText(share)}`);
      const more = said.length > MOST_SHARES ? `, … ${said.length - MOST_SHARES} more` : "";
      setText(this.#shares, `lost without: ${said.slice(0, MOST_SHARES).join(", ")}${more}`);
      this.#shares.title = `Share of the hypervolume that would be lost without a technique: ${said.join(", ")}`;
    });
  }

  #drawLimits(scene: Scene): void {
    const { budgets, work } = scene;
    show(this.#limits, budgets.length > 0);
    this.#memo.limits([budgets, work], () => {
      const items = budgets.map(([key, limit]) => {
        const shown = quantity(key, work);
        const off = button("×", { className: "effdl-lift" }, () => this.#lift(key), this.#signal);
        off.setAttribute("aria-label", `No limit for ${shown.title}`);
        off.title = `No limit for ${shown.title}`;
        return html("span", { class: "effdl-limit" }, `${shown.title} ≤ ${shown.write(limit * shown.factor)}`, off);
      });
      fill(this.#limits, ...items);
    });
    show(this.#best, budgets.length > 0);
    const [only] = budgets;
    if (!only) return;
    const shown = quantity(only[0], work);
    const here = only[0] === scene.axis.key;
    const amount = shown.write(only[1] * shown.factor);
    const what = budgets.length > 1 ? "all limits" : here ? amount : `${amount} ${shown.title}`;
    setText(this.#best, `Best within ${what}: ${bestWithin(scene, !here)}`);
  }
}

/** The hypervolume over the search as a small staircase. */
function sparkline(volumes: readonly number[]): SVGElement {
  const low = Math.min(...volumes);
  const span = Math.max(...volumes) - low || 1;
  const { width, height } = SPARK;
  const steps = volumes.map((value, index) => {
    const x = (1 + ((width - 2) * index) / Math.max(1, volumes.length - 1)).toFixed(1);
    const y = (height - 3 - ((height - 6) * (value - low)) / span).toFixed(1);
    return index === 0 ? `M${x},${y}` : `H${x}V${y}`;
  });
  const said = `Hypervolume grew from ${(volumes[0] ?? 0).toFixed(3)} to ${(volumes.at(-1) ?? 0).toFixed(3)} over ${volumes.length} results`;
  const path = svg("path", { d: steps.join("") });
  return svg("svg", { role: "img", "aria-label": said, width, height, viewBox: `0 0 ${width} ${height}` }, path);
}

function bestWithin(scene: Scene, named: boolean): string {
  const keeps = (values: Record<string, number | null>): boolean =>
    scene.budgets.every(([key, limit]) => (values[key] ?? Number.POSITIVE_INFINITY) <= limit);
  const better = scene.payload.metric_better === "higher" ? 1 : -1;
  // Within several limits the best may stand on no front of this axis.
  const [best] = scene.points
    .filter(isPlaced)
    .filter((point) => keeps(point.candidate.values))
    .sort((a, b) => better * (b.y - a.y) || a.x - b.x);
  if (!best) return "none";
  const dense = scene.points.filter(isPlaced).find((point) => point.dense);
  const less =
    dense && dense.x > 0 ? ` (${percentText(best.x / dense.x - 1)}${named ? ` ${scene.axis.title}` : ""})` : "";
  return `${candidateTitle(best.candidate, scene.payload).toLowerCase()}, ${scoreText(best.y, scene.percent)}${less}`;
}
