/** The Pareto chart: marks that stay the same elements while the search goes on, and the staircase under them. */

import { familyOf, outline } from "../core/families.js";
import { frontOf, isPlaced, type Point, staircase } from "../core/front.js";
import { earlier } from "../core/rungs.js";
import { fill, freshId, html, setAll, svg } from "./dom.js";
import { drawAxes, layPlane, type Plane } from "./plane.js";
import { isBeyond, type Scene } from "./scene.js";

const MARK = 5; // radius in pixels
const NEAR = 18; // a pointer within this distance means the mark
const WIDTH = 560; // where the page has no layout

export class Chart {
  readonly root: HTMLElement;
  readonly #svg: SVGSVGElement;
  readonly #axes = svg("g", { class: "effdl-axes" });
  readonly #under = svg("g", { class: "effdl-under" });
  readonly #errors = svg("g", { class: "effdl-errors" });
  readonly #marks = svg("g", { class: "effdl-marks" });
  readonly #over = svg("g", { class: "effdl-over" });
  readonly #drawn = new Map<number, SVGGElement>();
  readonly #arrow = freshId("arrow");
  #order = "";
  #scene: Scene | null = null;
  #plane: Plane | null = null;

  constructor(resized: () => void, signal: AbortSignal) {
    const tip = svg("path", { d: "M0,0L8,4L0,8z", class: "effdl-tip" });
    const marker = {
      id: this.#arrow,
      viewBox: "0 0 8 8",
      refX: 6,
      refY: 4,
      markerWidth: 7,
      markerHeight: 7,
      orient: "auto",
    };
    this.#svg = svg("svg", { role: "img", class: "effdl-svg" }, svg("defs", {}, svg("marker", marker, tip)));
    this.#svg.append(this.#axes, this.#under, this.#errors, this.#marks, this.#over);
    this.root = html("div", { class: "effdl-chart" }, this.#svg);
    let width = 0;
    const watch = new ResizeObserver(() => {
      if (this.root.clientWidth === width) return;
      width = this.root.clientWidth;
      resized();
    });
    watch.observe(this.root);
    signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  }

  /** The plane as it was drawn last, for those who translate pixels. */
  get plane(): Plane | null {
    return this.#plane;
  }

  draw(scene: Scene, summary: string): void {
    this.#scene = scene;
    const width = this.root.clientWidth || WIDTH;
    const height = Math.round(Math.max(230, Math.min(430, width * 0.6)));
    const placed = scene.points.filter(isPlaced);
    const railed = scene.points.filter((point) => onRail(point) && point.x !== null);
    const costs = [...placed, ...railed].flatMap((point) => (point.x === null ? [] : [point.x]));
    const scores = placed.map((point) => point.y);
    const plane = layPlane({ width, height, costs, scores, log: scene.log, rail: railed.length > 0 });
    this.#plane = plane;
    setAll(this.#svg, { viewBox: `0 0 ${width} ${height}`, width, height, "aria-label": summary });
    fill(this.#axes, ...(placed.length > 0 ? drawAxes(plane, scene) : []));
    this.#drawUnder(scene, plane);
    fill(this.#errors, ...errorBars(scene, plane));
    this.#drawMarks(scene, plane);
    this.#drawOver(scene, plane);
  }

  /** The mark nearest to a place on the page, or null when none is near. */
  nearest(clientX: number, clientY: number): number | null {
    const { left, top } = this.#svg.getBoundingClientRect();
    let best: number | null = null;
    let least = NEAR;
    for (const point of this.#scene?.points ?? []) {
      const at = this.place(point.candidate.number);
      if (!at) continue;
      const distance = Math.hypot(at.x - (clientX - left), at.y - (clientY - top));
      if (distance > least) continue;
      least = distance;
      best = point.candidate.number;
    }
    return best;
  }

  /** Where the mark of a candidate is, in pixels of the chart. */
  place(number: number | null): { x: number; y: number } | null {
    const point = this.#scene?.points.find((known) => known.candidate.number === number);
    return point && this.#plane ? placeOf(point, this.#plane) : null;
  }

  #drawUnder(scene: Scene, plane: Plane): void {
    const front = frontOf(scene.points).map((point) => ({ x: plane.x.at(point.x), y: plane.y.at(point.y) }));
    const parts: SVGElement[] = [];
    const worse = scene.payload.metric_better === "higher" ? plane.bottom : plane.top;
    const first = front[0];
    const last = front.at(-1);
    if (first && last) {
      const steps = staircase(front)
        .map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`)
        .join("L");
      const line = `M${first.x.toFixed(1)},${worse}L${steps}H${plane.right}`;
      parts.push(svg("path", { class: "effdl-side", d: `${line}V${worse}Z` }));
      parts.push(svg("path", { class: "effdl-stairs", d: line }));
    }
    if (scene.budget !== null) {
      const at = plane.x.at(scene.budget);
      parts.push(
        svg("rect", {
          class: "effdl-beyond",
          x: at,
          y: plane.top,
          width: Math.max(0, plane.right - at),
          height: plane.bottom - plane.top,
        }),
      );
      parts.push(svg("line", { class: "effdl-budget", x1: at, x2: at, y1: plane.top - 4, y2: plane.bottom }));
    }
    const target = scene.points.find((point) => point.candidate.number === (scene.pinned ?? scene.looked));
    const arrow = target && this.#arrowTo(target, scene, plane);
    if (arrow) parts.push(arrow);
    const climb = target && climbLine(target, plane);
    if (climb) parts.push(climb);
    fill(this.#under, ...parts);
  }

  /** An arrow from what a candidate came from: its parent where it has one, else the dense scene. */
  #arrowTo(target: Point, scene: Scene, plane: Plane): SVGElement | null {
    const parent = scene.points.find((point) => point.candidate.number === target.candidate.parent);
    const source = parent ?? scene.points.find((point) => point.dense);
    const from = source && source !== target ? placeOf(source, plane) : null;
    const to = placeOf(target, plane);
    if (!from || !to) return null;
    const distance = Math.hypot(to.x - from.x, to.y - from.y);
    if (distance < 24) return null;
    const bend = { x: (from.x + to.x) / 2, y: Math.max(plane.top - 18, Math.min(from.y, to.y) - 0.12 * distance) };
    const start = shortened(from, bend, 9);
    const end = shortened(to, bend, 13);
    const d = `M${start.x.toFixed(1)},${start.y.toFixed(1)}Q${bend.x.toFixed(1)},${bend.y.toFixed(1)} ${end.x.toFixed(1)},${end.y.toFixed(1)}`;
    return svg("path", { class: "effdl-arrow", d, "marker-end": `url(#${this.#arrow})` });
  }

  #drawMarks(scene: Scene, plane: Plane): void {
    const shown = scene.points.filter((point) => placeOf(point, plane) !== null);
    const numbers = new Set(shown.map((point) => point.candidate.number));
    for (const [number, node] of this.#drawn) {
      if (numbers.has(number)) continue;
      node.remove();
      this.#drawn.delete(number);
    }
    for (const point of shown) this.#drawMark(point, scene, plane);
    const rank = (point: Point): number => (point.dense ? 2 : point.front ? 1 : 0);
    const order = [...shown].sort((a, b) => rank(a) - rank(b) || a.candidate.number - b.candidate.number);
    const names = order.map((point) => point.candidate.number).join();
    if (names === this.#order) return;
    this.#order = names;
    for (const point of order) this.#marks.append(this.#drawn.get(point.candidate.number) ?? "");
  }

  #drawMark(point: Point, scene: Scene, plane: Plane): void {
    const { number, state, family, rung } = point.candidate;
    const at = placeOf(point, plane);
    if (!at) return;
    let node = this.#drawn.get(number);
    if (!node) {
      const ring = svg("circle", { class: "effdl-rung", r: MARK + 3.2 });
      node = svg("g", { "data-number": number }, svg("circle", { class: "effdl-hit", r: 9 }), ring, svg("path"));
      this.#drawn.set(number, node);
    }
    const known = familyOf(point.dense ? "dense" : family);
    const shape =
      state === "failed" || state === "cancelled" ? CROSS : outline(known.shape, point.dense ? MARK + 1.5 : MARK);
    setAll(node, {
      transform: `translate(${at.x.toFixed(1)},${at.y.toFixed(1)})`,
      "data-state": state,
      "data-rung": rung,
      "data-family": known.id,
      "data-front": point.front,
      "data-dense": point.dense,
      "data-dominated": state === "done" && !point.front && !point.dense,
      "data-pinned": number === scene.pinned,
      "data-beyond": isBeyond(point.candidate, scene),
      "data-cost": point.x,
      "data-score": point.y,
    });
    const path = node.lastElementChild;
    if (path) setAll(path, { d: shape, class: `effdl-mark effdl-fam-${known.id}` });
  }

  #drawOver(scene: Scene, plane: Plane): void {
    const parts: SVGElement[] = [];
    const ring = (number: number | null, name: string, radius: number): void => {
      const at = this.place(number);
      if (at) parts.push(svg("circle", { class: name, cx: at.x, cy: at.y, r: radius }));
    };
    for (const number of scene.selected) ring(number, "effdl-ring-also", 9);
    ring(scene.payload.applied, "effdl-ring-applied", 13);
    ring(scene.looked, "effdl-ring-near", 10);
    ring(scene.pinned, "effdl-ring", 10);
    const dense = scene.points.find((point) => point.dense);
    const at = dense && placeOf(dense, plane);
    if (at)
      parts.push(
        svg(
          "text",
          { class: "effdl-strong", x: Math.min(at.x, plane.right - 12), y: at.y - 13, "text-anchor": "middle" },
          "dense",
        ),
      );
    const label = this.place(scene.pinned);
    if (label && scene.pinned !== dense?.candidate.number) {
      const side = label.x > plane.right - 40 ? -1 : 1;
      const anchor = side > 0 ? "start" : "end";
      parts.push(
        svg(
          "text",
          { class: "effdl-strong", x: label.x + side * 14, y: label.y + 16, "text-anchor": anchor },
          String(scene.pinned),
        ),
      );
    }
    if (scene.budget !== null) {
      const x = Math.min(plane.right - 34, Math.max(plane.left + 34, plane.x.at(scene.budget)));
      const text = `≤ ${scene.axis.write(scene.budget)}`;
      parts.push(
        svg(
          "g",
          { class: "effdl-handle" },
          svg("rect", { x: x - 34, y: plane.top - 20, width: 68, height: 17, rx: 4 }),
          svg("text", { x, y: plane.top - 7, "text-anchor": "middle" }, text),
        ),
      );
    }
    fill(this.#over, ...parts);
  }
}

const CROSS = "M-4,-4L4,4M4,-4L-4,4";

/** Candidates without a score that have a cost stand on a rail at the bottom. */
function onRail(point: Point): boolean {
  return !isPlaced(point) && point.candidate.state !== "planned";
}

function placeOf(point: Point, plane: Plane): { x: number; y: number } | null {
  if (isPlaced(point)) return { x: plane.x.at(point.x), y: plane.y.at(point.y) };
  if (onRail(point) && point.x !== null && Number.isFinite(point.x)) return { x: plane.x.at(point.x), y: plane.railY };
  return null;
}

/** Half-widths of intervals, of the cost and of the score, where they were measured with one. */
function errorBars(scene: Scene, plane: Plane): SVGElement[] {
  const paths = { front: "", other: "" };
  for (const point of scene.points) {
    const at = placeOf(point, plane);
    if (!at || !isPlaced(point)) continue;
    const across = (point.candidate.errors[scene.axis.key] ?? 0) * scene.axis.factor;
    const down = point.candidate.errors.score ?? 0;
    const kind = point.front ? "front" : "other";
    if (across > 0) {
      const [from, to] = [point.x - across, point.x + across].map((x) => Math.max(plane.left, plane.x.at(x)));
      if (from !== undefined && to !== undefined)
        paths[kind] += `M${from.toFixed(1)},${(at.y - 3).toFixed(1)}v6m0,-3H${to.toFixed(1)}m0,-3v6`;
    }
    if (down > 0) {
      const [from, to] = [point.y - down, point.y + down].map((y) => plane.y.at(y).toFixed(1));
      paths[kind] += `M${(at.x - 3).toFixed(1)},${from}h6m-3,0V${to}m-3,0h6`;
    }
  }
  return Object.entries(paths).flatMap(([kind, d]) =>
    d === "" ? [] : [svg("path", { class: "effdl-error", d, "data-front": kind === "front" })],
  );
}

/** From the scores of the lower rungs up to the one a candidate has now; what lies below the chart is cut off. */
function climbLine(point: Point, plane: Plane): SVGElement | null {
  const scores = earlier(point.candidate).flatMap((climb) => (climb.score === null ? [] : [climb.score]));
  if (!isPlaced(point) || scores.length === 0) return null;
  const x = plane.x.at(point.x);
  const heights = scores.map((score) => Math.max(plane.top, Math.min(plane.bottom, plane.y.at(score))));
  const ticks = heights.map((y) => `M${(x - 4).toFixed(1)},${y.toFixed(1)}h8`).join("");
  const d = `${ticks}M${x.toFixed(1)},${(heights[0] ?? 0).toFixed(1)}V${plane.y.at(point.y).toFixed(1)}`;
  return svg("path", { class: "effdl-climb", d });
}

function shortened(from: { x: number; y: number }, to: { x: number; y: number }, by: number): { x: number; y: number } {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  return { x: from.x + ((to.x - from.x) * by) / length, y: from.y + ((to.y - from.y) * by) / length };
}
