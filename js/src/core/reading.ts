/** Guards for the payloads of `wire.ts`: what is not whole is not drawn, and the field at fault is named. */

import {
  type Fields,
  type Guard,
  isFlag,
  isNumber,
  isObject,
  isText,
  listOf,
  mapOf,
  maybe,
  objectOf,
  oneOf,
  wrongField,
} from "./guard.js";
import {
  type CandidateRow,
  type ClimbRow,
  type Columns,
  type DiffRow,
  type LayersPayload,
  type LayerTimes,
  type LayerZeros,
  type ParetoPayload,
  type Payload,
  type Preview,
  type SkipRow,
  type Status,
  type StepRow,
  type SuggestionRow,
  type SuggestionsPayload,
  type Totals,
  VERSION,
} from "./wire.js";

const numbers = listOf(isNumber);
const texts = listOf(isText);

const isTotals = objectOf<Totals>({
  params: isNumber,
  param_bytes: isNumber,
  param_at: maybe(isText),
  macs: isNumber,
  inference_peak_bytes: maybe(isNumber),
  inference_peak_at: maybe(isText),
  saved_bytes: maybe(isNumber),
  saved_at: maybe(isText),
  training_peak_bytes: maybe(isNumber),
  training_peak_at: maybe(isText),
  optimizer: maybe(isText),
  hidden: texts,
  latency_s: maybe(isNumber),
  latency_iqr_s: maybe(isNumber),
});

const isColumns = objectOf<Columns>({
  params: numbers,
  macs: numbers,
  saved_bytes: numbers,
  output_bytes: numbers,
  elementwise_ops: numbers,
  moved_bytes: numbers,
});

const isTimes = objectOf<LayerTimes>({
  own_s: listOf(maybe(isNumber)),
  own_iqr_s: listOf(maybe(isNumber)),
  total_s: listOf(maybe(isNumber)),
  total_iqr_s: listOf(maybe(isNumber)),
  repeats: numbers,
  residual_s: maybe(isNumber),
  remark: isText,
  warning: maybe(isText),
});

const isZeros = objectOf<LayerZeros>({ summary: isText, tensors: texts });

const LAYERS: Fields<LayersPayload> = {
  view: oneOf("layers"),
  version: isNumber,
  origin: isText,
  title: isText,
  inputs: isText,
  environment: isText,
  totals: isTotals,
  partial: isFlag,
  names: texts,
  labels: texts,
  kinds: texts,
  parents: numbers,
  outputs: texts,
  calls: numbers,
  aliases: listOf(texts),
  own: isColumns,
  total: isColumns,
  times: maybe(isTimes),
  zeros: maybe(isZeros),
  uncounted: texts,
  notes: texts,
};

const isDiff = objectOf<DiffRow>({ layer: isText, before: texts, after: texts });
const isStep = objectOf<StepRow>({ transform: isText, family: isText, layers: texts, settings: isText });
const isSkip = objectOf<SkipRow>({ transform: isText, layers: texts, reason: isText });

const isSuggestion = objectOf<SuggestionRow>({
  index: isNumber,
  transform: isText,
  family: isText,
  layers: texts,
  headline: isText,
  reason: isText,
  warnings: texts,
  params: isNumber,
  macs: isNumber,
  param_bytes: isNumber,
  inference_peak_bytes: maybe(isNumber),
  latency: maybe(isNumber),
  latency_error: maybe(isNumber),
  error: maybe(isNumber),
  risk: isNumber,
  score: maybe(isNumber),
  clashes: numbers,
});

const isPreview = objectOf<Preview>({
  indices: numbers,
  params: isNumber,
  macs: isNumber,
  param_bytes: isNumber,
  inference_peak_bytes: maybe(isNumber),
  skipped: texts,
});

const isStatus = objectOf<Status>({
  state: oneOf("idle", "working", "done", "failed", "gone"),
  message: isText,
  done: isNumber,
  planned: isNumber,
});

const SUGGESTIONS: Fields<SuggestionsPayload> = {
  view: oneOf("suggestions"),
  version: isNumber,
  origin: isText,
  title: isText,
  goal: isText,
  goals: texts,
  totals: isTotals,
  rows: listOf(isSuggestion),
  chosen: numbers,
  notes: texts,
  skips: listOf(isSkip),
  preview: maybe(isPreview),
  applied: maybe(isPreview),
  diff: listOf(isDiff),
  undo: isNumber,
  status: isStatus,
};

const isClimb = objectOf<ClimbRow>({ rung: isText, score: maybe(isNumber), seconds: isNumber });

const isCandidate = objectOf<CandidateRow>({
  number: isNumber,
  label: isText,
  family: isText,
  state: oneOf("planned", "running", "done", "failed", "cancelled"),
  rung: isText,
  parent: maybe(isNumber),
  values: mapOf(maybe(isNumber)),
  errors: mapOf(isNumber),
  climbed: listOf(isClimb),
  source: isText,
  seed: isNumber,
  steps: listOf(isStep),
  diff: listOf(isDiff),
  note: isText,
  seconds: isNumber,
});

const PARETO: Fields<ParetoPayload> = {
  view: oneOf("pareto"),
  version: isNumber,
  origin: isText,
  title: isText,
  state: oneOf("idle", "running", "paused", "finished", "cancelled", "failed"),
  done: isNumber,
  planned: isNumber,
  failed: isNumber,
  seconds_left: maybe(isNumber),
  message: isText,
  metric: isText,
  metric_better: oneOf("higher", "lower"),
  axes: texts,
  candidates: listOf(isCandidate),
  dense: maybe(isNumber),
  fronts: mapOf(numbers),
  hypervolume: mapOf(maybe(isNumber)),
  knee: mapOf(maybe(isNumber)),
  applied: maybe(isNumber),
  objectives: texts,
  budgets: mapOf(isNumber),
  volumes: numbers,
  contributions: mapOf(isNumber),
};

/** Either a payload that can be drawn, or a sentence about what is wrong with it. */
export type Reading = { payload: Payload } | { problem: string };

/** Check a value from Python. A key that is missing or of another type is named. */
export function readPayload(value: unknown): Reading {
  if (!isObject(value)) return { problem: "Nothing to draw yet." };
  if (isNumber(value.version) && value.version !== VERSION) {
    return {
      problem: `The payload has version ${value.version}, this page draws version ${VERSION}. Reload the page.`,
    };
  }
  const checked = value as unknown;
  if (objectOf(LAYERS)(checked)) {
    const problem = unevenColumn(checked);
    return problem === null ? { payload: checked } : { problem };
  }
  if (objectOf(SUGGESTIONS)(checked)) return { payload: checked };
  if (objectOf(PARETO)(checked)) return { payload: checked };
  return { problem: complaint(value) };
}

function complaint(value: Record<string, unknown>): string {
  const views: Record<string, Record<string, Guard<unknown>>> = {
    layers: LAYERS,
    suggestions: SUGGESTIONS,
    pareto: PARETO,
  };
  const fields = isText(value.view) ? views[value.view] : undefined;
  if (!fields) return `There is no view "${String(value.view)}". Known are ${Object.keys(views).join(", ")}.`;
  return `The payload of view "${String(value.view)}" has a wrong or missing "${wrongField(fields, value)}".`;
}

function unevenColumn(payload: LayersPayload): string | null {
  const length = payload.names.length;
  const columns: Record<string, unknown[]> = {
    labels: payload.labels,
    kinds: payload.kinds,
    parents: payload.parents,
    outputs: payload.outputs,
    calls: payload.calls,
    aliases: payload.aliases,
    ...payload.own,
    ...Object.fromEntries(Object.entries(payload.total).map(([key, column]) => [`total ${key}`, column])),
    ...Object.fromEntries(
      Object.entries(payload.times ?? {}).flatMap(([key, column]) =>
        Array.isArray(column) ? [[`times ${key}`, column]] : [],
      ),
    ),
  };
  for (const [key, column] of Object.entries(columns)) {
    if (column.length !== length) return `The column "${key}" has ${column.length} entries, expected ${length}.`;
  }
  const orphan = payload.parents.findIndex((parent, index) => index > 0 && !(parent >= 0 && parent < index));
  return orphan > 0 ? `The layer "${payload.names[orphan]}" stands before its parent.` : null;
}
