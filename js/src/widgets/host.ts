/** The part of anywidget's model that our widgets use. */

export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, callback: (...values: unknown[]) => void): void;
  off(event: string, callback: (...values: unknown[]) => void): void;
}

export interface RenderContext {
  model: Model;
  el: HTMLElement;
  /** Newer anywidgets end a view with it; older ones only call what `render` returned. */
  signal?: AbortSignal;
}

/** Listen to a model until the signal ends. */
export function listen(
  model: Model,
  event: string,
  callback: (...values: unknown[]) => void,
  signal: AbortSignal,
): void {
  model.on(event, callback);
  signal.addEventListener("abort", () => model.off(event, callback), { once: true });
}
