/** The layer table as a list of rows: folding, sorting and filtering of a tree of any size. */

import type { Columns, LayersPayload } from "./wire.js";

/** A number of each layer: counted, or the measured time. */
export type Measure = keyof Columns | "latency_s";

export type SortKey = "label" | "outputs" | "calls" | Measure;

export interface Sort {
  key: SortKey;
  descending: boolean;
}

export interface TreeOptions {
  /** null keeps the order of the model. */
  sort: Sort | null;
  filter: string;
  open: ReadonlySet<number>;
  /** Every layer for itself, without the tree. */
  flat: boolean;
  scope: "own" | "total";
}

export interface Row {
  index: number;
  depth: number;
  parent: boolean;
  open: boolean;
  /** Stands here only because a layer below it matches the filter. */
  dim: boolean;
}

/** The children of each layer, in the order of the model. */
export function childrenOf(parents: readonly number[]): number[][] {
  const children: number[][] = parents.map(() => []);
  for (let index = 1; index < parents.length; index += 1) children[parents[index] ?? 0]?.push(index);
  return children;
}

/** The layers above one, from the model down. */
export function ancestorsOf(parents: readonly number[], index: number): number[] {
  const above: number[] = [];
  for (let at = index; at > 0; ) {
    at = parents[at] ?? 0;
    above.unshift(at);
  }
  return above;
}

/** Which layers are open at first: all of a small model, else the model itself. */
export function firstOpen(children: readonly number[][], limit = 30): Set<number> {
  const parents = children.flatMap((below, index) => (below.length > 0 ? [index] : []));
  return new Set(children.length <= limit ? parents : parents.filter((index) => index === 0));
}

/** Say for each layer whether it matches the filter: every word must be in its name or kind. */
export function matches(payload: LayersPayload, filter: string): boolean[] | null {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return null;
  return payload.names.map((name, index) => {
    const text =
      `${name} ${payload.labels[index]} ${payload.kinds[index]} ${payload.aliases[index]?.join(" ")}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** The rows to show, from top to bottom. */
export function visibleRows(payload: LayersPayload, children: readonly number[][], options: TreeOptions): Row[] {
  const hits = matches(payload, options.filter);
  const compare = comparison(payload, options);
  if (options.flat) {
    const all = payload.names.map((_, index) => index).filter((index) => hits?.[index] ?? index > 0);
    const kept = all.length > 0 || hits ? all : [0];
    return (compare ? kept.sort(compare) : kept).map((index) => leaf(index));
  }
  const kept = hits && withAncestors(payload.parents, hits);
  const rows: Row[] = [];
  const walk = (index: number, depth: number): void => {
    const below = (children[index] ?? []).filter((child) => kept?.[child] ?? true);
    const open = below.length > 0 && (kept !== null || options.open.has(index));
    rows.push({ index, depth, parent: below.length > 0, open, dim: hits?.[index] === false });
    if (!open) return;
    for (const child of compare ? [...below].sort(compare) : below) walk(child, depth + 1);
  };
  if (payload.names.length > 0 && (kept?.[0] ?? true)) walk(0, 0);
  return rows;
}

function leaf(index: number): Row {
  return { index, depth: 0, parent: false, open: false, dim: false };
}

function withAncestors(parents: readonly number[], hits: readonly boolean[]): boolean[] {
  const kept = [...hits];
  for (let index = parents.length - 1; index > 0; index -= 1) {
    if (kept[index]) kept[parents[index] ?? 0] = true;
  }
  return kept;
}

function comparison(payload: LayersPayload, options: TreeOptions): ((a: number, b: number) => number) | null {
  const { sort, scope } = options;
  if (sort === null) return null;
  const sign = sort.descending ? -1 : 1;
  if (sort.key === "label" || sort.key === "outputs") {
    const column = sort.key === "outputs" ? payload.outputs : options.flat ? payload.names : payload.labels;
    const order = new Intl.Collator("en", { numeric: true }).compare;
    return (a, b) => sign * order(column[a] ?? "", column[b] ?? "") || a - b;
  }
  const column = sort.key === "calls" ? payload.calls : valuesOf(payload, sort.key, scope);
  return (a, b) => sign * ((column[a] ?? 0) - (column[b] ?? 0)) || a - b;
}

/** A column of numbers; null where a layer has none. */
export function valuesOf(payload: LayersPayload, key: Measure, scope: "own" | "total"): readonly (number | null)[] {
  if (key !== "latency_s") return payload[scope][key];
  return (scope === "own" ? payload.times?.own_s : payload.times?.total_s) ?? [];
}

/** The part of a long list that is on screen, with some rows beyond both edges. */
export function windowOf(
  count: number,
  view: { top: number; height: number; row: number; beyond: number },
): { from: number; to: number } {
  const first = Math.floor(view.top / view.row) - view.beyond;
  const shown = Math.ceil(view.height / view.row) + 2 * view.beyond;
  const from = Math.max(0, Math.min(first, count - shown));
  return { from, to: Math.min(count, from + shown) };
}
