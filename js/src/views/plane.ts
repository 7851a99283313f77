/** The plane of a chart: where costs and scores lie in pixels, and the axes around it. */

import { scoreText } from "../core/format.js";
import { linear, logarithmic, padded, type Scale } from "../core/scale.js";
import { svg } from "./dom.js";
import { metricTitle, type Scene } from "./scene.js";

export interface PlaneOptions {
  width: number;
  height: number;
  costs: readonly number[];
  scores: readonly number[];
  log: boolean;
  /** Leaves room at the bottom for candidates without a score. */
  rail: boolean;
}

export interface Plane {
  left: number;
  right: number;
  top: number;
  bottom: number;
  /** Height of the marks that have no score. */
  railY: number;
  x: Scale;
  y: Scale;
}

const RAIL = 22;

/** Lay out the plane. */
export function layPlane(options: PlaneOptions): Plane {
  const { width, height, costs, scores } = options;
  const left = 54;
  const right = Math.max(left + 80, width - 18);
  const top = 30;
  const bottom = height - 42;
  const floor = options.rail ? bottom - RAIL : bottom;
  const x = costScale(costs, options.log, [left, right]);
  const y = linear(padded(scores, 0.09), [floor, top], Math.max(2, Math.floor((floor - top) / 42)));
  return { left, right, top, bottom, railY: bottom - RAIL / 2, x, y };
}

function costScale(costs: readonly number[], log: boolean, range: readonly [number, number]): Scale {
  const high = costs.length > 0 ? Math.max(...costs) : 1;
  const low = costs.length > 0 ? Math.min(...costs) : 0;
  if (log && low > 0) return logarithmic([low / 1.25, high * 1.15], range);
  const from = low < 0.5 * high ? 0 : low - 0.1 * (high - low || high);
  const count = Math.max(2, Math.floor((range[1] - range[0]) / 90));
  return linear([from, high + 0.05 * (high - from)], range, count);
}

/** Draw the axes: quiet lines, round numbers, and which way is better. */
export function drawAxes(plane: Plane, scene: Scene): SVGElement[] {
  const { axis, percent, payload } = scene;
  const better = payload.metric_better;
  const { left, right, top, bottom, x, y } = plane;
  const parts: SVGElement[] = [];
  for (const tick of y.ticks) {
    const at = y.at(tick);
    parts.push(svg("line", { class: "effdl-gridline", x1: left, x2: right, y1: at, y2: at }));
    parts.push(svg("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, tickText(tick, y.ticks, percent)));
  }
  parts.push(svg("line", { class: "effdl-axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  for (const tick of x.ticks) {
    const at = x.at(tick);
    parts.push(svg("line", { class: "effdl-axis", x1: at, x2: at, y1: bottom, y2: bottom + 4 }));
    parts.push(
      svg(
        "text",
        { x: at, y: bottom + 18, "text-anchor": "middle" },
        axis
          .write(tick)
          .replace(/(\.\d*?)0+(?=\s|$)/, "$1")
          .replace(/\.(?=\s|$)/, ""),
      ),
    );
  }
  parts.push(svg("text", { x: right, y: bottom + 36, "text-anchor": "end" }, `← less is better · ${axis.title}`));
  const sign = better === "higher" ? "↑" : "↓";
  parts.push(svg("text", { x: left - 46, y: top - 14 }, `${metricTitle(payload)} ${sign} ${better} is better`));
  return parts;
}

function tickText(tick: number, ticks: readonly number[], percent: boolean): string {
  const [first, second] = ticks;
  const step = first !== undefined && second !== undefined ? Math.abs(second - first) * (percent ? 100 : 1) : 1;
  const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)));
  if (Math.abs(tick) >= 1e4) return scoreText(tick, percent);
  return `${((percent ? 100 : 1) * tick).toFixed(digits)}${percent ? "%" : ""}`.replace("-", "\u2212");
}
