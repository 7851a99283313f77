/** The anywidget entry: holds a view, hands it payloads, carries back selections and commands. */

import { readPayload } from "../core/reading.js";
import type { Chosen } from "../core/screen.js";
import type { Payload } from "../core/wire.js";
import { type AnyDrawn, draw } from "../views/index.js";
import { ALIVE_EVENT, sendCommand } from "./command.js";
import { listen, type Model, type RenderContext } from "./host.js";
import { GONE, Life } from "./life.js";
import { hideTwin } from "./twin.js";

class Widget {
  readonly #model: Model;
  readonly #stage = document.createElement("div");
  readonly #back = document.createElement("button");
  readonly #life: Life;
  readonly #signal: AbortSignal;
  #drawn: AnyDrawn | null = null;
  #part: AbortController | null = null;
  #origin = "";
  #shown = "";
  #showTwin: () => void = () => {};
  #frame = 0;

  constructor({ model, el }: RenderContext, signal: AbortSignal) {
    this.#model = model;
    this.#signal = signal;
    this.#life = new Life(this.#stage, () => this.#showTwin(), signal);
    el.classList.add("effdl-host");
    el.replaceChildren(this.#life.banner, this.#back, this.#stage);
    this.#drawBack();
    listen(model, "change:turned", () => this.#drawBack(), signal);
    this.#back.addEventListener("click", () => this.#command("layers", {}), { signal });
    listen(model, "change:payload", () => this.#soon(), signal);
    listen(model, "change:selection", () => this.#drawn?.select(this.#selection()), signal);
    listen(model, "change:status", () => this.#readStatus(), signal);
    for (const event of ["comm_live_update", "comm:close", "destroy"]) {
      listen(model, event, () => this.#life.end(GONE), signal);
    }
    signal.addEventListener("abort", () => this.#stop(), { once: true });
    this.#draw();
    this.#readStatus();
    this.#announce();
  }

  /** Tell the page that a live view is here, once it is: the JupyterLab extension opens its channel then. */
  #announce(tries = 100): void {
    if (this.#signal.aborted || tries === 0) return;
    if (this.#stage.isConnected)
      this.#stage.dispatchEvent(new CustomEvent(ALIVE_EVENT, { bubbles: true, composed: true }));
    else requestAnimationFrame(() => this.#announce(tries - 1));
  }

  /** Many payloads in one frame are drawn once. */
  #soon(): void {
    if (this.#frame === 0) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.#draw();
      });
    }
  }

  #draw(): void {
    if (this.#signal.aborted) return;
    const reading = readPayload(this.#model.get("payload"));
    if ("problem" in reading) {
      this.#life.say(reading.problem);
      return;
    }
    const { payload } = reading;
    this.#life.say("");
    this.#origin = payload.origin;
    if (!this.#drawn?.update(payload)) this.#begin(payload);
    this.#hideTwin(payload);
    this.#life.refresh();
  }

  /** A view that was turned into another one has a way back. */
  #drawBack(): void {
    this.#back.type = "button";
    this.#back.className = "effdl-back";
    this.#back.textContent = "\u2190 Layers";
    this.#back.dataset.lmSuppressShortcuts = "true";
    this.#back.hidden = this.#model.get("turned") !== true || this.#life.gone;
  }

  #command(verb: string, args: Record<string, unknown>): void {
    if (!this.#life.gone) sendCommand(this.#stage, this.#model, this.#origin, verb, args);
  }

  #begin(payload: Payload): void {
    this.#part?.abort();
    this.#part = new AbortController();
    const emit = {
      select: (values: Chosen[]) => {
        this.#model.set("selection", values);
        this.#model.save_changes();
      },
      command: (verb: string, args: Record<string, unknown>) => this.#command(verb, args),
    };
    this.#drawn = draw(this.#stage, payload, emit, this.#part.signal);
    this.#drawn.select(this.#selection());
  }

  #hideTwin(payload: Payload): void {
    const shown = JSON.stringify([payload.origin, payload.view]);
    if (this.#model.get("turned") === true) return; // the twin is of what stood here at first
    if (shown === this.#shown || this.#life.gone || payload.origin === "") return;
    this.#shown = shown;
    this.#showTwin();
    this.#showTwin = hideTwin(payload.origin, payload.view);
  }

  #selection(): Chosen[] {
    const value = this.#model.get("selection");
    if (!Array.isArray(value)) return [];
    return value.filter((item): item is Chosen => typeof item === "string" || typeof item === "number");
  }

  #readStatus(): void {
    this.#life.read(this.#model.get("status"));
  }

  #stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#part?.abort();
    this.#showTwin();
  }
}

/** One widget: its state is its own. */
export default () => ({
  render(context: RenderContext): () => void {
    const end = new AbortController();
    if (context.signal?.aborted) end.abort();
    else context.signal?.addEventListener("abort", () => end.abort(), { once: true });
    new Widget(context, end.signal);
    return () => end.abort();
  },
});
