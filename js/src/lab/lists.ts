/** The panel's lists as elements: models and runs. Text is only ever text. */

import { countText } from "../core/format.js";
import type { ModelRow, RunRow } from "../core/panel-wire.js";
import type { Message } from "./messages.js";

function make<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, text = ""): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

/** A model: its name, its class and its size. */
export function modelItem(model: ModelRow, open: boolean, press: () => void): HTMLElement {
  const item = document.createElement("li");
  const button = make("button", "effdl-panel-row");
  button.type = "button";
  button.title = [model.name, model.kind, model.where].filter(Boolean).join(" · ");
  button.setAttribute("aria-expanded", String(open));
  button.dataset.model = model.name;
  button.append(
    make("b", "", model.name),
    make("span", "effdl-panel-soft effdl-panel-kind", model.kind),
    make("span", "effdl-panel-number", countText(model.params)),
  );
  button.addEventListener("click", press);
  item.append(button);
  return item;
}

/** A run: what it is, how far it is, and Cancel while there is something to cancel. */
export function runItem(run: RunRow, cancel: () => void): HTMLElement {
  const item = make("li", "effdl-panel-run");
  const going = run.state === "running" || run.state === "paused" || run.state === "working";
  const head = make("div", "effdl-panel-line");
  const far = run.planned > 0 ? `${run.done} / ${run.planned}` : String(run.done);
  head.append(
    make("b", "", run.title),
    make("span", "effdl-panel-soft", run.state),
    make("span", "effdl-panel-number", far),
  );
  if (going) {
    const button = make("button", "effdl-panel-button", "Cancel");
    button.type = "button";
    button.setAttribute("aria-label", `Cancel ${run.title}`);
    button.dataset.origin = run.origin;
    button.addEventListener("click", () => {
      button.disabled = true;
      cancel();
    });
    head.append(button);
  }
  item.append(head);
  if (going && run.planned > 0) {
    const bar = document.createElement("progress");
    bar.max = run.planned;
    bar.value = run.done;
    bar.setAttribute("aria-label", `Progress of ${run.title}`);
    item.append(bar);
  }
  if (run.message) item.append(make("p", "effdl-panel-soft", run.message));
  return item;
}

/** What is said instead of a list. */
export function messageBlock(message: Message): HTMLElement {
  const block = make("div", "effdl-panel-message");
  block.append(make("p", "", message.text));
  if (message.line) block.append(make("code", "", message.line));
  return block;
}
