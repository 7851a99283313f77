/** Progress of a search and the buttons that steer it. */

import { plural, secondsText } from "../core/format.js";
import type { Emit } from "../core/screen.js";
import type { ParetoPayload } from "../core/wire.js";
import { button } from "./controls.js";
import { html, setAll, setText, show } from "./dom.js";
import { type Waiting, waiting } from "./waiting.js";

const ENDED: Record<string, string> = {
  finished: "Finished",
  cancelled: "Cancelled",
  failed: "Stopped by an error",
  paused: "Paused",
};

export class RunBar {
  readonly bar = html(
    "div",
    {
      class: "effdl-progress",
      role: "progressbar",
      "aria-label": "Progress",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    html("i"),
  );
  readonly buttons = html("div", { class: "effdl-end effdl-buttons" });
  readonly line = html("span", { class: "effdl-soft" });
  readonly message = html("div", { class: "effdl-status", role: "status" });
  readonly #pending = html("span", { class: "effdl-soft", role: "status" });
  readonly #waiting: Waiting;
  readonly #all: Record<"start" | "pause" | "resume" | "cancel", HTMLButtonElement>;
  #state = "";

  constructor(emit: Emit, signal: AbortSignal) {
    this.#waiting = waiting(this.#pending, signal);
    const send = (verb: string, text: string) => () => {
      this.#waiting.start(text);
      emit.command(verb, {});
    };
    this.#all = {
      start: button("Start", { command: true, primary: true }, send("start", "Starting…"), signal),
      pause: button("Pause", { command: true }, send("pause", "Pausing after this candidate…"), signal),
      resume: button("Resume", { command: true }, send("resume", "Resuming…"), signal),
      cancel: button("Cancel", { command: true }, send("cancel", "Cancelling…"), signal),
    };
    this.buttons.append(this.#pending, ...Object.values(this.#all));
  }

  update(payload: ParetoPayload): void {
    const { state, done, planned } = payload;
    if (state !== this.#state) this.#waiting.stop();
    this.#state = state;
    show(this.#all.start, state === "idle");
    show(this.#all.pause, state === "running");
    show(this.#all.resume, state === "paused");
    show(this.#all.cancel, state === "running" || state === "paused");
    const share = planned > 0 ? Math.min(1, done / planned) : state === "finished" ? 1 : 0;
    this.bar.style.setProperty("--effdl-share", `${(100 * share).toFixed(1)}%`);
    this.bar.toggleAttribute("data-unknown", state === "running" && planned === 0);
    this.bar.dataset.state = state;
    setAll(this.bar, {
      "aria-valuenow": planned > 0 ? Math.round(100 * share) : null,
      "aria-valuetext": planned > 0 ? `${done} of ${planned}` : null,
    });
    setText(this.line, progressText(payload));
    setText(this.message, payload.message);
    this.message.dataset.state = state;
    show(this.message, payload.message !== "");
  }
}

/** How far a search is, in a line. */
export function progressText(payload: ParetoPayload): string {
  const { state, done, planned, failed, seconds_left: left } = payload;
  const parts: string[] = [];
  const ended = ENDED[state];
  if (state === "idle") parts.push(planned > 0 ? `${plural(planned, "candidate")} planned` : "Not started");
  else {
    if (ended) parts.push(ended);
    parts.push(planned > 0 ? `${done} of ${planned}` : plural(done, "candidate"));
  }
  if (left !== null && state === "running") parts.push(`${secondsText(left)} left`);
  if (failed > 0) parts.push(`${failed} failed`);
  return parts.join(" · ");
}
