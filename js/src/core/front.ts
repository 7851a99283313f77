/** The Pareto view as plain numbers: points, the staircase of the front, the summary in words. */

import type { Quantity } from "./axes.js";
import { plural, scoreText } from "./format.js";
import type { CandidateRow, ParetoPayload } from "./wire.js";

export interface Point {
  candidate: CandidateRow;
  /** Cost on the chosen axis; null while it is not known. */
  x: number | null;
  /** Score; null while there is none. */
  y: number | null;
  front: boolean;
  dense: boolean;
}

/** The points of all candidates on one cost axis. */
export function pointsOf(payload: ParetoPayload, axis: Quantity): Point[] {
  const front = new Set(payload.fronts[axis.key] ?? []);
  return payload.candidates.map((candidate) => {
    const cost = candidate.values[axis.key] ?? null;
    return {
      candidate,
      x: cost === null ? null : cost * axis.factor,
      y: candidate.values.score ?? null,
      front: front.has(candidate.number),
      dense: candidate.number === payload.dense,
    };
  });
}

/** Say whether a point has a place in the plane: it is done and both numbers are there. */
export function isPlaced(point: Point): point is Point & { x: number; y: number } {
  return point.candidate.state === "done" && isFinitely(point.x) && isFinitely(point.y);
}

function isFinitely(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

/** The points of the front from cheap to dear. */
export function frontOf(points: readonly Point[]): (Point & { x: number; y: number })[] {
  return points
    .filter(isPlaced)
    .filter((point) => point.front)
    .sort((a, b) => a.x - b.x || a.y - b.y);
}

/** Corners of the staircase: from a point along its score to the cost of the next, then over to that one's score. */
export function staircase(front: readonly { x: number; y: number }[]): [number, number][] {
  const corners: [number, number][] = [];
  for (const [index, point] of front.entries()) {
    const before = front[index - 1];
    if (before) corners.push([point.x, before.y]);
    corners.push([point.x, point.y]);
  }
  return corners;
}

/** The neighbour of a candidate on the front; from nowhere, the one nearest to the knee or the first. */
export function stepAlong(
  front: readonly Point[],
  from: number | null,
  by: 1 | -1,
  start: number | null,
): number | null {
  if (front.length === 0) return null;
  const place = front.findIndex((point) => point.candidate.number === from);
  if (place < 0) {
    const knee = front.find((point) => point.candidate.number === start);
    return (knee ?? front[by > 0 ? 0 : front.length - 1])?.candidate.number ?? null;
  }
  const next = Math.min(front.length - 1, Math.max(0, place + by));
  return front[next]?.candidate.number ?? null;
}

/** The chart in a sentence, for those who do not see it. */
export function summary(payload: ParetoPayload, axis: Quantity, points: readonly Point[], percent: boolean): string {
  const placed = points.filter(isPlaced);
  if (placed.length === 0) return `${payload.metric} against ${axis.title}: no candidate has a score yet.`;
  const front = frontOf(points);
  const parts = [
    `${payload.metric} against ${axis.title}: ${plural(placed.length, "candidate")}, ${front.length} on the front.`,
  ];
  const first = front[0];
  const last = front.at(-1);
  if (first && last && first !== last) {
    parts.push(
      `The front runs from ${axis.write(first.x)} at ${scoreText(first.y, percent)}` +
        ` to ${axis.write(last.x)} at ${scoreText(last.y, percent)}.`,
    );
  }
  const dense = placed.find((point) => point.dense);
  if (dense) parts.push(`The dense model has ${axis.write(dense.x)} at ${scoreText(dense.y, percent)}.`);
  return parts.join(" ");
}
