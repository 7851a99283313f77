/** The Pareto view at one moment, as all its parts see it. */

import type { Quantity, Work } from "../core/axes.js";
import type { Point } from "../core/front.js";
import type { CandidateRow, ParetoPayload } from "../core/wire.js";

export interface Scene {
  payload: ParetoPayload;
  points: readonly Point[];
  axis: Quantity;
  work: Work;
  /** Scores are shares, read in percent. */
  percent: boolean;
  log: boolean;
  /** Largest cost that is wanted on this axis, as it is read there; null without one. */
  budget: number | null;
  /** All budgets by cost, in the units of the payload. */
  budgets: readonly (readonly [string, number])[];
  pinned: number | null;
  selected: readonly number[];
  /** The candidate under the pointer, or reached by the keyboard. */
  looked: number | null;
}

/** The candidate with a number. */
export function candidateOf(payload: ParetoPayload, number: number | null): CandidateRow | undefined {
  return number === null ? undefined : payload.candidates.find((candidate) => candidate.number === number);
}

/** Say whether a candidate is known to break a budget. */
export function isBeyond(candidate: CandidateRow, scene: Pick<Scene, "budgets">): boolean {
  return scene.budgets.some(([key, limit]) => (candidate.values[key] ?? 0) > limit);
}

/** What a candidate is called: the dense model has a name, the others a number. */
export function candidateTitle(candidate: CandidateRow, payload: ParetoPayload): string {
  return candidate.number === payload.dense ? "Dense model" : `Candidate ${candidate.number}`;
}

/** The name of the metric as a title. */
export function metricTitle(payload: ParetoPayload): string {
  return payload.metric.charAt(0).toUpperCase() + payload.metric.slice(1);
}
