/** What a view is: the contract between the views and whoever holds them. */

/** An entry of a selection: a layer's name, the index of a suggestion, the number of a candidate. */
export type Chosen = string | number;

/** How a view reports: it never talks to a kernel itself. */
export interface Emit {
  select(values: Chosen[]): void;
  command(verb: string, args: Record<string, unknown>): void;
}

/** A drawn view. It ends with the signal that it was drawn with. */
export interface Drawn<P> {
  update(payload: P): void;
  /** Show a selection that was made elsewhere; nothing is reported back. */
  select(values: readonly Chosen[]): void;
}

/** Draws a view into an element. */
export type Draw<P> = (el: HTMLElement, payload: P, emit: Emit, signal: AbortSignal) => Drawn<P>;
