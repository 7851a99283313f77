/** How far a candidate was taken, and who thought of it: the words for it. */

import { scoreText } from "./format.js";
import type { CandidateRow, ClimbRow } from "./wire.js";

/** All rungs, from low to high; the dense model stands on none of them. */
export const RUNGS: readonly string[] = ["zero-shot", "repaired", "briefly tuned", "fine-tuned"];

const HINTS: Record<string, string> = {
  "zero-shot": "changed, nothing else",
  repaired: "repaired without labels",
  "briefly tuned": "trained a little",
  "fine-tuned": "trained in full",
};

const SOURCES: Record<string, string> = {
  dense: "The model as it is",
  ladder: "From the ladder of advice",
  advice: "From the advice",
  user: "A plan of yours",
  tpe: "Proposed by TPE",
  nsga2: "Proposed by NSGA-II",
};

/** What a rung means. */
export function rungHint(rung: string): string {
  return HINTS[rung] ?? rung;
}

/** The rungs that any of these is on, from low to high. */
export function rungsOf(candidates: readonly CandidateRow[]): string[] {
  const found = new Set(candidates.map((candidate) => candidate.rung));
  return RUNGS.filter((rung) => found.has(rung));
}

/** The rungs below the one that a candidate is on, as it climbed them. */
export function earlier(candidate: CandidateRow): ClimbRow[] {
  return candidate.climbed.filter((climb) => height(climb.rung) < height(candidate.rung));
}

function height(rung: string): number {
  return RUNGS.indexOf(rung);
}

/** The rung with the scores on the way up; what was tried above and was no better is said. */
export function wayUp(candidate: CandidateRow, percent: boolean): string {
  const write = (score: number | null): string => (score === null ? "failed" : scoreText(score, percent));
  const below = earlier(candidate);
  const score = candidate.values.score ?? null;
  const here = below.length > 0 && score !== null ? `${candidate.rung} ${write(score)}` : candidate.rung;
  const way = [...below.map((climb) => `${climb.rung} ${write(climb.score)}`), here].join(" → ");
  const above = candidate.climbed
    .filter((climb) => !below.includes(climb))
    .map((climb) => `${climb.rung} ${write(climb.score)}${climb.score === null ? "" : " was no better"}`);
  return [way, ...above].join("; ");
}

/** Who thought of a candidate; "" where that is not known. */
export function sourceText(source: string): string {
  return SOURCES[source] ?? (source ? `Proposed by ${source}` : "");
}
