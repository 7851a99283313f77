/** Samples, and stand-ins for what holds a view: a model as anywidget's, an emitter that remembers. */

import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { readPayload } from "../src/core/reading";
import type { Chosen, Emit } from "../src/core/screen";
import type { LayersPayload, ParetoPayload, Payload, SuggestionsPayload } from "../src/core/wire";

const SAMPLES = resolve(import.meta.dirname, "samples");
const GOLDENS = resolve(import.meta.dirname, "../../tests/golden");

function load(path: string): Payload {
  const reading = readPayload(JSON.parse(readFileSync(path, "utf8")));
  if ("problem" in reading) throw new Error(`${path}: ${reading.problem}`);
  return reading.payload;
}

/** Payloads that Python wrote, by file name; tests/views/test_goldens.py keeps them true. */
export function goldens(): [string, Payload][] {
  const names = readdirSync(GOLDENS).filter((name) => /^(layers|suggestions|pareto).*\.json$/.test(name));
  if (names.length === 0) throw new Error(`no payload in ${GOLDENS}: EFFWIDGETS_REWRITE=1 make quick writes them`);
  return names.map((name) => [name, load(`${GOLDENS}/${name}`)]);
}

/** Numbers as units.py writes them, by function, and the families of views/families.py: name, title, shape. */
export function format(): { texts: [string, number, string][]; families: [string, string, string][] } {
  return JSON.parse(readFileSync(`${GOLDENS}/format.json`, "utf8"));
}

export function layers(): LayersPayload {
  const payload = load(`${SAMPLES}/layers.json`);
  if (payload.view !== "layers") throw new Error("not the layers");
  return payload;
}

export function suggestions(): SuggestionsPayload {
  const payload = load(`${SAMPLES}/suggestions.json`);
  if (payload.view !== "suggestions") throw new Error("not the suggestions");
  return payload;
}

export function pareto(): ParetoPayload {
  const payload = load(`${SAMPLES}/pareto.json`);
  if (payload.view !== "pareto") throw new Error("not the front");
  return payload;
}

/** An emitter that remembers. */
export class Heard implements Emit {
  readonly selections: Chosen[][] = [];
  readonly commands: { verb: string; args: Record<string, unknown> }[] = [];

  select(values: Chosen[]): void {
    this.selections.push(values);
  }

  command(verb: string, args: Record<string, unknown>): void {
    this.commands.push({ verb, args });
  }
}

/** A model as anywidget hands it to a widget. */
export class FakeModel {
  readonly sent: unknown[] = [];
  readonly #values: Record<string, unknown>;
  readonly #listeners = new Map<string, Set<(...values: unknown[]) => void>>();

  constructor(values: Record<string, unknown>) {
    this.#values = values;
  }

  get(name: string): unknown {
    return this.#values[name];
  }

  set(name: string, value: unknown): void {
    this.#values[name] = value;
  }

  save_changes(): void {}

  send(content: unknown): void {
    this.sent.push(content);
  }

  on(event: string, callback: (...values: unknown[]) => void): void {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(callback));
  }

  off(event: string, callback: (...values: unknown[]) => void): void {
    this.#listeners.get(event)?.delete(callback);
  }

  fire(event: string): void {
    for (const callback of this.#listeners.get(event) ?? []) callback();
  }

  /** How many callbacks are still listening. */
  listening(): number {
    return [...this.#listeners.values()].reduce((sum, callbacks) => sum + callbacks.size, 0);
  }

  /** Take a new payload, as the kernel sends it. */
  receive(name: string, value: unknown): void {
    this.set(name, value);
    this.fire(`change:${name}`);
  }
}

/** An element in the page. */
export function place(): HTMLElement {
  const el = document.createElement("div");
  document.body.append(el);
  return el;
}

/** The element that must be there. */
export function find<T extends Element = HTMLElement>(root: ParentNode, selector: string): T {
  const node = root.querySelector<T>(selector);
  if (!node) throw new Error(`nothing matches ${selector}`);
  return node;
}

/** The button with a text. */
export function press(root: ParentNode, text: string): HTMLButtonElement {
  const node = [...root.querySelectorAll("button")].find((button) => button.textContent === text);
  if (!node) throw new Error(`no button says ${text}`);
  node.click();
  return node;
}

/** Press a key on an element. */
export function key(node: Element, name: string, more: KeyboardEventInit = {}): void {
  node.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...more }));
}
