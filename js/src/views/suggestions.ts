/** The suggestion list: sentences that a person can agree with, their price, and the button that does them. */

import { goalTitle } from "../core/axes.js";
import { plural } from "../core/format.js";
import type { Chosen, Drawn, Emit } from "../core/screen.js";
import type { SuggestionsPayload } from "../core/wire.js";
import { button, type Segmented, segmented } from "./controls.js";
import { diffList } from "./diff.js";
import { fill, html, memo, setAll, setText, show, viewRoot } from "./dom.js";
import { outcomeLine } from "./outcome.js";
import { skipList } from "./skip-list.js";
import { headings, type SortBy, sorted, suggestionRow, type Tick } from "./suggestion-row.js";
import { type Waiting, waiting } from "./waiting.js";
import { preferredWork } from "./work.js";

const SETTLE_MS = 250; // ticks within this time are one preview

/** Draw the suggestion list. */
export function drawSuggestions(
  el: HTMLElement,
  payload: SuggestionsPayload,
  emit: Emit,
  signal: AbortSignal,
): Drawn<SuggestionsPayload> {
  const view = new SuggestionsView(payload, emit, signal);
  el.replaceChildren(view.root);
  view.update(payload);
  return view;
}

class SuggestionsView implements Drawn<SuggestionsPayload> {
  readonly root: HTMLElement;
  readonly #emit: Emit;
  readonly #signal: AbortSignal;
  readonly #work = preferredWork();
  readonly #bar = html(
    "div",
    { class: "effdl-progress", role: "progressbar", "aria-label": "Progress", hidden: true },
    html("i"),
  );
  readonly #title = html("h3");
  readonly #count = html("span", { class: "effdl-soft" });
  readonly #goals = html("div", { class: "effdl-end" });
  readonly #list = html("ul", { class: "effdl-list", "aria-label": "Suggestions" });
  readonly #head: HTMLElement;
  readonly #empty = html("div", { class: "effdl-empty" });
  readonly #skips = html("div");
  readonly #notes = html("div", { class: "effdl-notes" });
  readonly #applied = html("div");
  readonly #state = html("div", { class: "effdl-status", role: "status" });
  readonly #chosen = html("span", { class: "effdl-chosen", "aria-live": "polite" });
  readonly #pending = html("span", { class: "effdl-soft", role: "status" });
  readonly #waiting: Waiting;
  readonly #apply: HTMLButtonElement;
  readonly #undo: HTMLButtonElement;
  readonly #memo = { goals: memo(), rows: memo(), skips: memo(), applied: memo(), chosen: memo() };
  #payload: SuggestionsPayload;
  #goal: Segmented<string> | null = null;
  #sort: SortBy | null = null;
  #ticks = new Map<number, Tick>();
  #on = new Set<number>();
  #listed = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(payload: SuggestionsPayload, emit: Emit, signal: AbortSignal) {
    this.root = viewRoot("suggestions", signal);
    this.#payload = payload;
    this.#emit = emit;
    this.#signal = signal;
    this.#waiting = waiting(this.#pending, signal);
    const sort = (by: SortBy | null): void => {
      this.#sort = by === this.#sort ? null : by;
      this.#drawRows();
      this.#drawChosen();
    };
    this.#head = headings(this.#work, sort, signal);
    this.#apply = button(
      "Apply 0",
      { primary: true, command: true },
      () => this.#send("apply", { indices: this.#indices() }, "Applying…"),
      signal,
    );
    this.#undo = button("Undo", { command: true }, () => this.#send("undo", {}, "Undoing…"), signal);
    this.#list.addEventListener("change", (event) => this.#ticked(event), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.#timer), { once: true });
    this.root.append(
      this.#bar,
      html("div", { class: "effdl-head" }, this.#title, this.#count, this.#goals),
      this.#head,
      this.#list,
      this.#empty,
      this.#notes,
      this.#skips,
      this.#applied,
      this.#state,
      html(
        "div",
        { class: "effdl-foot" },
        this.#chosen,
        html("span", { class: "effdl-grow" }),
        this.#pending,
        this.#undo,
        this.#apply,
      ),
    );
  }

  update(payload: SuggestionsPayload): void {
    const list = JSON.stringify([payload.origin, payload.goal, payload.rows.map((row) => [row.index, row.headline])]);
    const fresh = list !== this.#listed;
    this.#payload = payload;
    if (fresh && this.#listed !== "") this.#tick(payload.chosen);
    this.#listed = list;
    this.#waiting.stop();
    const places = payload.rows.length + payload.skips.length;
    setText(this.#title, goalTitle(payload.goal).long);
    setText(this.#count, `${payload.title} · ${plural(places, "place")}, ${payload.rows.length} worth it`);
    this.root.setAttribute("aria-label", `Suggestions for ${payload.title}`);
    this.#drawGoals();
    this.#drawRows();
    this.#drawSkips();
    fill(this.#notes, ...payload.notes.map((note) => html("p", {}, note)));
    show(this.#notes, payload.notes.length > 0);
    this.#drawApplied();
    this.#drawState();
    this.#drawChosen();
  }

  select(values: readonly Chosen[]): void {
    this.#on = new Set(values.filter((value): value is number => typeof value === "number"));
    this.#drawChosen();
    if (!this.#previewFits()) this.#preview();
  }

  /** Tick what a new list recommends, and say so to the kernel. */
  #tick(indices: readonly number[]): void {
    this.#on = new Set(indices);
    this.#emit.select(this.#indices());
    this.#preview();
  }

  #indices(): number[] {
    return [...this.#on].sort((a, b) => a - b);
  }

  #send(verb: string, args: Record<string, unknown>, text: string): void {
    clearTimeout(this.#timer);
    this.#waiting.start(text);
    this.#emit.command(verb, args);
  }

  #ticked(event: Event): void {
    const input = event.target;
    if (!(input instanceof HTMLInputElement)) return;
    const index = Number(input.dataset.index);
    if (input.checked) this.#on.add(index);
    else this.#on.delete(index);
    this.#emit.select(this.#indices());
    this.#drawChosen();
    this.#preview();
  }

  #preview(): void {
    clearTimeout(this.#timer);
    if (this.#on.size === 0) return;
    const ask = (): void => {
      if (!this.#previewFits()) this.#emit.command("preview", { indices: this.#indices() });
    };
    this.#timer = setTimeout(ask, SETTLE_MS);
  }

  #previewFits(): boolean {
    return sameSet(this.#payload.preview?.indices, this.#on);
  }

  #drawGoals(): void {
    const { goals, goal } = this.#payload;
    this.#memo.goals(goals, () => {
      const options = goals.map((value) => ({ value, label: goalTitle(value).short, title: goalTitle(value).long }));
      const pick = (value: string): void => this.#send("goal", { goal: value }, "Ranking…");
      this.#goal = segmented("Goal", options, pick, this.#signal);
      for (const node of this.#goal.root.children) node.setAttribute("data-command", "");
      fill(this.#goals, goals.length > 1 ? this.#goal.root : null);
    });
    this.#goal?.set(goal);
  }

  #drawRows(): void {
    const { rows, totals, applied } = this.#payload;
    for (const press of this.#head.querySelectorAll<HTMLElement>("[data-sort]"))
      press.setAttribute("aria-pressed", String(press.dataset.sort === (this.#sort ?? "")));
    this.#memo.rows([rows, totals, applied?.indices, this.#sort], () => {
      const order = sorted(rows, this.#sort, this.#payload);
      this.#ticks = new Map(order.map((row) => [row.index, suggestionRow(row, this.#payload, this.#work)]));
      fill(this.#list, ...[...this.#ticks.values()].map((tick) => tick.root));
      const peaks = rows.some((row) => row.inference_peak_bytes !== null && row.inference_peak_bytes !== 0);
      this.root.toggleAttribute("data-peaks", peaks);
      this.root.toggleAttribute(
        "data-scores",
        rows.some((row) => row.score !== null),
      );
    });
    const working = this.#payload.status.state === "working";
    show(this.#head, rows.length > 0);
    show(this.#empty, rows.length === 0);
    setText(
      this.#empty,
      working ? "Looking for places…" : "Nothing found that is worth it for this goal. Below is why.",
    );
  }

  #drawSkips(): void {
    const { skips } = this.#payload;
    this.#memo.skips(skips, () => fill(this.#skips, skips.length > 0 ? skipList(skips) : null));
  }

  #drawApplied(): void {
    const { applied, diff, totals } = this.#payload;
    this.#memo.applied([applied, diff, totals], () => {
      if (!applied) {
        fill(this.#applied);
        return;
      }
      const skipped = applied.skipped.map((reason) => html("li", {}, reason));
      const line = html(
        "p",
        {},
        html("b", { class: "effdl-good" }, `Applied ${applied.indices.length}: `),
        outcomeLine(applied, totals, this.#work),
      );
      const body = html("div", { class: "effdl-applied", role: "group", "aria-label": "Applied" }, line);
      if (skipped.length > 0) body.append(html("ul", { class: "effdl-warn", "aria-label": "Not done" }, ...skipped));
      if (diff.length > 0)
        body.append(html("details", { open: true }, html("summary", {}, "What changed"), diffList(diff)));
      fill(this.#applied, body);
    });
  }

  #drawState(): void {
    const { status, undo } = this.#payload;
    const working = status.state === "working";
    show(this.#bar, working);
    const known = working && status.planned > 0;
    const share = known ? Math.min(1, status.done / status.planned) : 0;
    this.#bar.toggleAttribute("data-unknown", working && !known);
    setAll(this.#bar, {
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": known ? Math.round(100 * share) : null,
    });
    this.#bar.style.setProperty("--effdl-share", `${100 * share}%`);
    const of = known ? ` ${status.done} of ${status.planned}` : "";
    setText(this.#state, status.message + (working ? of : ""));
    show(this.#state, this.#state.textContent !== "");
    this.#state.dataset.state = status.state;
    this.#undo.disabled = working || undo === 0 || status.state === "gone";
  }

  #drawChosen(): void {
    const { preview, totals, status, applied } = this.#payload;
    for (const [index, tick] of this.#ticks) {
      tick.input.checked = this.#on.has(index);
      tick.root.toggleAttribute("data-chosen", this.#on.has(index));
    }
    const count = this.#on.size;
    const same = sameSet(applied?.indices, this.#on);
    setText(this.#apply, `Apply ${count}`);
    this.#apply.disabled = count === 0 || same || status.state === "working" || status.state === "gone";
    this.#apply.title = count === 0 ? "Tick a suggestion first." : same ? "These are applied." : "";
    const known = this.#previewFits() ? preview : same ? applied : null; // what is applied was not asked for again
    this.#memo.chosen([count, known, totals], () => {
      if (count === 0) fill(this.#chosen, "Tick what you agree with.");
      else if (!known) fill(this.#chosen, `${count} chosen. `, html("span", { class: "effdl-muted" }, "Adding up…"));
      else {
        const lost = known.skipped.length;
        const note =
          lost > 0
            ? html("span", { class: "effdl-warn", title: known.skipped.join("\n") }, ` ${known.skipped.join(" ")}`)
            : null;
        fill(this.#chosen, `${count} chosen: `, outcomeLine(known, totals, this.#work), note);
      }
    });
  }
}

function sameSet(indices: readonly number[] | undefined, set: ReadonlySet<number>): boolean {
  return indices !== undefined && indices.length === set.size && indices.every((index) => set.has(index));
}
