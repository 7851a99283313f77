/** The Pareto view: every candidate against its cost, live, and the one decision that follows from it. */

import { isShare, maybeText, scoreText } from "../core/format.js";
import { frontOf, isPlaced, type Point, pointsOf, stepAlong, summary } from "../core/front.js";
import type { Chosen, Drawn, Emit } from "../core/screen.js";
import type { ParetoPayload } from "../core/wire.js";
import { Budgets } from "./budgets.js";
import { Chart } from "./chart.js";
import { html, setText, show, viewRoot } from "./dom.js";
import { HoverCard } from "./hover-card.js";
import { ParetoFoot } from "./pareto-foot.js";
import { ParetoTable } from "./pareto-table.js";
import { ParetoTools } from "./pareto-tools.js";
import { PinnedCard } from "./pinned-card.js";
import { RunBar } from "./run-bar.js";
import { candidateOf, candidateTitle, metricTitle, type Scene } from "./scene.js";
import { preferredWork } from "./work.js";

const STAGE = "Candidates: left and right walk the front, Enter pins, A applies, Escape unpins";

/** Draw the Pareto view. */
export function drawPareto(
  el: HTMLElement,
  payload: ParetoPayload,
  emit: Emit,
  signal: AbortSignal,
): Drawn<ParetoPayload> {
  const view = new ParetoView(payload, emit, signal);
  el.replaceChildren(view.root);
  view.update(payload);
  return view;
}

class ParetoView implements Drawn<ParetoPayload> {
  readonly root: HTMLElement;
  readonly #emit: Emit;
  readonly #run: RunBar;
  readonly #title = html("h3");
  readonly #budgets: Budgets;
  readonly #tools: ParetoTools;
  readonly #chart: Chart;
  readonly #stage = html("div", { class: "effdl-stage", tabindex: "0", role: "group", "aria-label": STAGE });
  readonly #hover = new HoverCard();
  readonly #said = html("div", { class: "effdl-sr", "aria-live": "polite" });
  readonly #empty = html("div", { class: "effdl-empty" });
  readonly #card: PinnedCard;
  readonly #table: ParetoTable;
  readonly #foot: ParetoFoot;
  #payload: ParetoPayload;
  #points: Point[] = [];
  #percent = false;
  #selected: number[] = [];
  #hovered: number | null = null;
  #walked: number | null = null;
  #dragging = false;

  constructor(payload: ParetoPayload, emit: Emit, signal: AbortSignal) {
    this.root = viewRoot("pareto", signal);
    this.#payload = payload;
    this.#emit = emit;
    this.#run = new RunBar(emit, signal);
    this.#chart = new Chart(() => this.#draw(), signal);
    this.#budgets = new Budgets((axis, limit) => emit.command("set_budget", { axis, limit }), signal);
    this.#tools = new ParetoTools(preferredWork(), this.#budgets, () => this.#draw(), signal);
    this.#table = new ParetoTable((number) => this.#pin(number), signal);
    this.#card = new PinnedCard({ apply: () => this.#apply(), unpin: () => this.#pin(null) }, signal);
    const lift = (axis: string): void => {
      this.#budgets.ask(axis, null);
      this.#draw();
      this.#stage.focus();
    };
    this.#foot = new ParetoFoot({ pin: (number) => this.#pin(number), lift }, signal);
    this.#stage.append(this.#chart.root, this.#hover.root);
    this.#listen(signal);
    const plot = html("div", { class: "effdl-plot" }, this.#stage, this.#empty, this.#said);
    this.root.append(
      this.#run.bar,
      html("div", { class: "effdl-head" }, this.#title, this.#run.line, this.#run.buttons),
      this.#run.message,
      this.#tools.root,
      html("div", { class: "effdl-split" }, plot, this.#card.root),
      this.#table.root,
      this.#foot.root,
    );
  }

  update(payload: ParetoPayload): void {
    this.#payload = payload;
    const scores = payload.candidates.flatMap((candidate) => candidate.values.score ?? []);
    this.#percent = isShare(payload.metric, scores);
    this.root.setAttribute("aria-label", `Pareto view of ${payload.title}`);
    this.#budgets.take(payload.budgets);
    this.#tools.offer(payload.axes);
    this.#run.update(payload);
    this.#foot.note(payload);
    this.#draw();
  }

  select(values: readonly Chosen[]): void {
    this.#selected = values.filter((value): value is number => typeof value === "number");
    this.#draw();
  }

  get #pinned(): number | null {
    return this.#selected.at(-1) ?? null;
  }

  #draw(): void {
    const payload = this.#payload;
    const { axis } = this.#tools;
    this.#points = pointsOf(payload, axis);
    const scene: Scene = {
      payload,
      points: this.#points,
      axis,
      work: axis.id === "macs" ? "macs" : preferredWork(),
      percent: this.#percent,
      log: this.#tools.log,
      budget: this.#tools.budget(this.#points),
      budgets: this.#budgets.all(),
      pinned: this.#pinned,
      selected: this.#selected,
      looked: this.#hovered ?? this.#walked,
    };
    const some = payload.candidates.length > 0;
    const placed = this.#points.some(isPlaced);
    setText(this.#title, `${metricTitle(payload)} against ${inSentence(axis.title)}`);
    show(this.#tools.root, some);
    show(this.#table.root, some);
    show(this.#empty, !placed);
    setText(this.#empty, emptyText(payload));
    this.#stage.toggleAttribute("data-empty", !placed);
    this.#chart.draw(scene, summary(payload, axis, this.#points, this.#percent));
    this.#hover.update(scene, this.#chart.place(scene.looked), this.#stage.clientWidth || 560);
    this.#card.update(scene);
    this.#tools.update(scene);
    this.#table.update(scene);
    this.#foot.update(scene);
  }

  #listen(signal: AbortSignal): void {
    const stage = this.#stage;
    const on = <K extends keyof HTMLElementEventMap>(type: K, act: (event: HTMLElementEventMap[K]) => void): void =>
      stage.addEventListener(type, act, { signal });
    on("pointerdown", (event) => {
      this.#dragging = event.target instanceof Element && event.target.closest(".effdl-handle") !== null;
      if (this.#dragging) stage.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => (this.#dragging ? this.#drag(event) : this.#near(this.#nearest(event))));
    on("pointerleave", () => this.#near(null));
    on("click", (event) => {
      if (!this.#dragging) this.#pin(this.#nearest(event), event.ctrlKey || event.metaKey);
      this.#dragging = false;
    });
    on("blur", () => this.#walk(null));
    this.root.addEventListener("keydown", (event) => this.#key(event), { signal });
  }

  #nearest(event: MouseEvent): number | null {
    const mark = event.target instanceof Element ? event.target.closest("[data-number]") : null;
    return mark ? Number(mark.getAttribute("data-number")) : this.#chart.nearest(event.clientX, event.clientY);
  }

  #drag(event: PointerEvent): void {
    const plane = this.#chart.plane;
    if (plane) this.#tools.drag(plane.x.from(event.clientX - this.#stage.getBoundingClientRect().left));
  }

  #near(number: number | null): void {
    if (number === this.#hovered) return;
    this.#hovered = number;
    this.#draw();
  }

  #walk(number: number | null): void {
    if (number === this.#walked) return;
    this.#walked = number;
    const candidate = candidateOf(this.#payload, number);
    const point = this.#points.find((known) => known.candidate === candidate);
    if (candidate) {
      const cost = maybeText(point?.x, this.#tools.axis.write);
      const score = maybeText(point?.y, (value) => scoreText(value, this.#percent));
      setText(this.#said, `${candidateTitle(candidate, this.#payload)}: ${score}, ${cost}. ${candidate.label}`);
    }
    this.#draw();
  }

  #pin(number: number | null, also = false): void {
    const kept = this.#selected.filter((other) => other !== number);
    if (number === null) this.#selected = [];
    else if (also) this.#selected = kept.length < this.#selected.length ? kept : [...kept, number];
    else this.#selected = [number];
    this.#emit.select([...this.#selected]);
    this.#draw();
  }

  #apply(): void {
    const candidate = candidateOf(this.#payload, this.#pinned);
    if (candidate?.state === "done" && candidate.number !== this.#payload.applied) {
      this.#emit.command("apply", { number: candidate.number });
    }
  }

  #key(event: KeyboardEvent): void {
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("input, select, summary") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "a" || event.key === "A") this.#apply();
    else if (event.key === "Escape") {
      this.#walk(null);
      if (this.#pinned !== null) this.#pin(null);
    } else if (target !== this.#stage || !this.#step(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Keys that walk the front; says whether this was one. */
  #step(key: string): boolean {
    const front = frontOf(this.#points);
    const here = this.#walked ?? this.#pinned;
    const knee = this.#payload.knee[this.#tools.axis.key] ?? null;
    if (key === "ArrowRight" || key === "ArrowLeft") {
      this.#walk(stepAlong(front, here, key === "ArrowRight" ? 1 : -1, knee));
    } else if (key === "Home" || key === "End") this.#walk(front.at(key === "Home" ? 0 : -1)?.candidate.number ?? null);
    else if (key === "Enter" && here !== null) this.#pin(here);
    else return false;
    return true;
  }
}

/** A title inside a sentence: "FLOPs" stays, "Inference peak" begins small. */
function inSentence(title: string): string {
  return /^[A-Z][a-z]/.test(title) ? title.charAt(0).toLowerCase() + title.slice(1) : title;
}

function emptyText(payload: ParetoPayload): string {
  if (payload.state === "idle") return "Nothing tried yet. Start the search and the candidates appear here.";
  if (payload.state === "running") return "Working on the first candidate. It appears here as soon as it has a score.";
  if (payload.failed > 0) return "No candidate has a score: all of them failed. The table says why.";
  return "No candidate has a score.";
}
