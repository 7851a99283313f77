/** Controls that several views share: real elements with names, so that everybody finds them. */

import { html } from "./dom.js";

export interface ButtonOptions {
  primary?: boolean;
  /** Goes to the kernel: is switched off when the kernel is gone. */
  command?: boolean;
  title?: string;
  className?: string;
}

/** A button. */
export function button(
  label: string,
  options: ButtonOptions,
  press: () => void,
  signal: AbortSignal,
): HTMLButtonElement {
  const node = html(
    "button",
    {
      type: "button",
      class: `effdl-btn${options.primary ? " effdl-primary" : ""}${options.className ? ` ${options.className}` : ""}`,
      title: options.title,
      "data-command": options.command ? "" : null,
    },
    label,
  );
  node.addEventListener("click", press, { signal });
  return node;
}

export interface Segmented<T extends string> {
  root: HTMLElement;
  set(value: T): void;
}

/** A choice of few, side by side: buttons of which one is pressed. */
export function segmented<T extends string>(
  name: string,
  options: readonly { value: T; label: string; title?: string }[],
  pick: (value: T) => void,
  signal: AbortSignal,
): Segmented<T> {
  const buttons = new Map<T, HTMLButtonElement>();
  const root = html("div", { class: "effdl-seg", role: "group", "aria-label": name });
  const set = (value: T): void => {
    for (const [key, node] of buttons) node.setAttribute("aria-pressed", String(key === value));
  };
  for (const { value, label, title } of options) {
    const node = html("button", { type: "button", title, "data-value": value }, label);
    const press = (): void => {
      set(value);
      pick(value);
    };
    node.addEventListener("click", press, { signal });
    buttons.set(value, node);
    root.append(node);
  }
  return { root, set };
}

/** A labelled drop-down list. */
export function select(
  name: string,
  options: readonly { value: string; label: string }[],
  pick: (value: string) => void,
  signal: AbortSignal,
): HTMLSelectElement {
  const node = html("select", { class: "effdl-select", "aria-label": name });
  for (const { value, label } of options) node.append(html("option", { value }, label));
  node.addEventListener("change", () => pick(node.value), { signal });
  return node;
}

/** A check box with its label. */
export function checkBox(
  label: string,
  change: (on: boolean) => void,
  signal: AbortSignal,
): {
  root: HTMLLabelElement;
  input: HTMLInputElement;
} {
  const input = html("input", { type: "checkbox" });
  input.addEventListener("change", () => change(input.checked), { signal });
  return { root: html("label", { class: "effdl-check" }, input, html("span", {}, label)), input };
}

/** A list that opens below its button; Escape and a click elsewhere close it. */
export function menu(label: string, body: HTMLElement, signal: AbortSignal): HTMLDetailsElement {
  const root = html("details", { class: "effdl-menu" }, html("summary", { class: "effdl-btn" }, label), body);
  root.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Escape" || !root.open) return;
      root.open = false;
      root.querySelector("summary")?.focus();
      event.stopPropagation();
    },
    { signal },
  );
  document.addEventListener(
    "pointerdown",
    (event) => {
      if (event.target instanceof Node && !event.composedPath().includes(root)) root.open = false;
    },
    { signal },
  );
  return root;
}
