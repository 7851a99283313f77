/** The payloads that cross from Python to the page: the twin of `effwidgets/views/wire.py`. Keys are never renamed. */

export const VERSION = 1;

/**
 * The numbers of a whole model; null means that it was not measured. `*_at` names the layer responsible, "" the model
 * itself: for a peak the layer that was running, for what is held or kept the one whose own share is the largest.
 */
export interface Totals {
  params: number;
  param_bytes: number;
  param_at: string | null;
  macs: number;
  inference_peak_bytes: number | null;
  inference_peak_at: string | null;
  saved_bytes: number | null;
  saved_at: string | null;
  training_peak_bytes: number | null;
  training_peak_at: string | null;
  optimizer: string | null;
  /** Layers whose kernels keep memory out of sight: peaks and saved bytes are at least what they say. */
  hidden: string[];
  latency_s: number | null;
  latency_iqr_s: number | null;
}

/** Per layer, one entry each, in the order of `names`. */
export interface Columns {
  params: number[];
  macs: number[];
  saved_bytes: number[];
  output_bytes: number[];
  elementwise_ops: number[];
  moved_bytes: number[];
}

/** Measured times per layer, one entry each, in the order of `names`; null where a layer has none. */
export interface LayerTimes {
  own_s: (number | null)[];
  own_iqr_s: (number | null)[];
  total_s: (number | null)[];
  total_iqr_s: (number | null)[];
  repeats: number[];
  residual_s: number | null;
  /** How they came about, and what is left of the whole, in a sentence. */
  remark: string;
  /** Why they are not to be trusted, in words. */
  warning: string | null;
}

/** Zeros among the parameters, in sentences; one for each tensor whose zeros are worth a line, the most zeros first. */
export interface LayerZeros {
  summary: string;
  tensors: string[];
}

/** The layer table. Row 0 is the model itself; parents stand before their children. */
export interface LayersPayload {
  view: "layers";
  version: number;
  origin: string;
  title: string;
  inputs: string;
  environment: string;
  totals: Totals;
  partial: boolean;
  names: string[];
  labels: string[];
  kinds: string[];
  parents: number[];
  outputs: string[];
  calls: number[];
  aliases: string[][];
  own: Columns;
  total: Columns;
  /** Only where the times of layers were measured. */
  times: LayerTimes | null;
  /** Only where zeros were counted. */
  zeros: LayerZeros | null;
  uncounted: string[];
  notes: string[];
}

/** A step in words. */
export interface StepRow {
  transform: string;
  family: string;
  layers: string[];
  settings: string;
}

/** One place of the architecture, before and after. */
export interface DiffRow {
  layer: string;
  before: string[];
  after: string[];
}

/** One suggestion; the costs are changes, after minus before. */
export interface SuggestionRow {
  index: number;
  transform: string;
  family: string;
  layers: string[];
  headline: string;
  reason: string;
  warnings: string[];
  params: number;
  macs: number;
  param_bytes: number;
  inference_peak_bytes: number | null;
  /** Measured change of the time of a forward, as a share of it: below 0 is faster. */
  latency: number | null;
  /** Half-width of its 95% interval, a share too. */
  latency_error: number | null;
  error: number | null;
  risk: number;
  /** Of `evaluate` after it, repaired; null where nobody asked. */
  score: number | null;
  /** Indices of those that cannot be taken with it. */
  clashes: number[];
}

/** A place where nothing is offered. */
export interface SkipRow {
  transform: string;
  layers: string[];
  reason: string;
}

/** What is going on behind a view. */
export interface Status {
  state: "idle" | "working" | "done" | "failed" | "gone";
  message: string;
  done: number;
  planned: number;
}

/** A whole model after some suggestions: profiled without being built, or after they were applied. */
export interface Preview {
  indices: number[];
  params: number;
  macs: number;
  param_bytes: number;
  inference_peak_bytes: number | null;
  skipped: string[];
}

/** The suggestion list. */
export interface SuggestionsPayload {
  view: "suggestions";
  version: number;
  origin: string;
  title: string;
  goal: string;
  goals: string[];
  totals: Totals;
  rows: SuggestionRow[];
  /** Indices that keep the budget which was asked for; ticked at first. */
  chosen: number[];
  notes: string[];
  skips: SkipRow[];
  preview: Preview | null;
  applied: Preview | null;
  diff: DiffRow[];
  undo: number;
  status: Status;
}

/** What a candidate scored at another rung; `score` is null where it failed there. */
export interface ClimbRow {
  rung: string;
  score: number | null;
  seconds: number;
}

/** One mark of the Pareto view. */
export interface CandidateRow {
  number: number;
  label: string;
  family: string;
  state: "planned" | "running" | "done" | "failed" | "cancelled";
  rung: string;
  parent: number | null;
  values: Record<string, number | null>;
  /** Half-widths of what was measured with an error, by the keys of `values`. */
  errors: Record<string, number>;
  climbed: ClimbRow[];
  source: string;
  seed: number;
  steps: StepRow[];
  diff: DiffRow[];
  note: string;
  seconds: number;
}

/** The live Pareto view. */
export interface ParetoPayload {
  view: "pareto";
  version: number;
  origin: string;
  title: string;
  state: "idle" | "running" | "paused" | "finished" | "cancelled" | "failed";
  done: number;
  planned: number;
  failed: number;
  seconds_left: number | null;
  message: string;
  metric: string;
  metric_better: "higher" | "lower";
  axes: string[];
  candidates: CandidateRow[];
  dense: number | null;
  fronts: Record<string, number[]>;
  hypervolume: Record<string, number | null>;
  knee: Record<string, number | null>;
  applied: number | null;
  objectives: string[];
  /** The most that the search wants a cost to be, by its key. */
  budgets: Record<string, number>;
  /** Hypervolume along the default axis over the search. */
  volumes: number[];
  contributions: Record<string, number>;
}

export type Payload = LayersPayload | SuggestionsPayload | ParetoPayload;
