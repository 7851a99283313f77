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
  /** Largest cost that is wanted; null without one. */
  budget: number | null;
  pinned: number | null;
  selected: readonly number[];
  /** The candidate under the pointer, or reached by the keyboard. */
  looked: number | null;
}

/** The candidate with a number. */
export function candidateOf(payload: ParetoPayload, number: number | null): CandidateRow | undefined {
  return number === null ? undefined : payload.candidates.find((candidate) => candidate.number === number);
}

/** What a candidate is called: the dense model has a name, the others a number. */
export function candidateTitle(candidate: CandidateRow, payload: ParetoPayload): string {
  return candidate.number === payload.dense ? "Dense model" : `Candidate ${candidate.number}`;
}

/** The name of the metric as a title. */
export function metricTitle(payload: ParetoPayload): string {
  return payload.metric.charAt(0).toUpperCase() + payload.metric.slice(1);
}
