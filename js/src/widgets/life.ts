/** Whether somebody still answers behind a view. When nobody does, it is greyed and says so. */

import { isObject, isText } from "../core/guard.js";

export const GONE =
  "The kernel is gone. These are its last numbers; run the cell again to bring the view back to life.";
const GONE_ORIGIN = "The model behind this view is gone. These are its last numbers; run the cell again.";

export class Life {
  readonly banner = document.createElement("div");
  readonly #stage: HTMLElement;
  readonly #ended: () => void;
  readonly #watch = new MutationObserver(() => this.refresh());
  #gone = false;

  constructor(stage: HTMLElement, ended: () => void, signal: AbortSignal) {
    this.#stage = stage;
    this.#ended = ended;
    signal.addEventListener("abort", () => this.#watch.disconnect(), { once: true });
    this.banner.className = "effdl-banner";
    this.banner.setAttribute("role", "status");
    this.banner.hidden = true;
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Say something over the view; "" takes it away. A view that is gone stays gone. */
  say(text: string): void {
    if (this.#gone) return;
    this.banner.textContent = text;
    this.banner.hidden = text === "";
  }

  /** Nobody answers any more. */
  end(reason: string): void {
    if (this.#gone) return;
    this.say(reason);
    this.#gone = true;
    this.#stage.classList.add("effdl-gone");
    this.refresh();
    // A tick may switch Apply on again: what is gone stays off.
    this.#watch.observe(this.#stage, { subtree: true, childList: true, attributeFilter: ["disabled"] });
    this.#ended();
  }

  /** Read the status trait: the session may have gone while the kernel lives. */
  read(status: unknown): void {
    const state = isObject(status) ? status.state : status;
    const message = isObject(status) && isText(status.message) ? status.message : "";
    if (state === "gone") this.end(message || GONE_ORIGIN);
  }

  /** Switch off what would go to the kernel. */
  refresh(): void {
    if (!this.#gone) return;
    for (const node of this.#stage.querySelectorAll("[data-command]:not([disabled])"))
      node.setAttribute("disabled", "");
  }
}
