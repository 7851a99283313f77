/** The Pareto view: every candidate against its cost, live, and the one decision that follows from it. */

import { axisChoices, type Quantity } from "../core/axes.js";
import { familyOf } from "../core/families.js";
import { isShare, maybeText, percentText, scoreText } from "../core/format.js";
import { frontOf, isPlaced, type Point, pointsOf, stepAlong, summary } from "../core/front.js";
import type { Chosen, Drawn, Emit } from "../core/screen.js";
import type { CandidateRow, ParetoPayload } from "../core/wire.js";
import { candidateTitle, cardBody, cardHead, hoverCard } from "./card.js";
import { Chart } from "./chart.js";
import { button, checkBox, select } from "./controls.js";
import { fill, html, memo, setAll, setText, show, viewRoot } from "./dom.js";
import { preferredWork } from "./layers.js";
import { familyMark } from "./marks.js";
import { ParetoTable } from "./pareto-table.js";
import { RunBar } from "./run-bar.js";

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
  readonly root = viewRoot("pareto");
  readonly #emit: Emit;
  readonly #signal: AbortSignal;
  readonly #work = preferredWork();
  readonly #run: RunBar;
  readonly #title = html("h3");
  readonly #tools = html("div", { class: "effdl-tools" });
  readonly #chart: Chart;
  readonly #stage = html("div", {
    class: "effdl-stage",
    tabindex: "0",
    role: "group",
    "aria-label": "Candidates: left and right walk the front, Enter pins, A applies, Escape unpins",
  });
  readonly #hover = html("div", { class: "effdl-hover", hidden: true });
  readonly #said = html("div", { class: "effdl-sr", "aria-live": "polite" });
  readonly #empty = html("div", { class: "effdl-empty" });
  readonly #card = html("aside", { class: "effdl-card", "aria-label": "Chosen candidate" });
  readonly #cardHead = html("div");
  readonly #cardBody = html("div");
  readonly #cardHint = html(
    "p",
    { class: "effdl-soft" },
    "Click a mark, or walk the front with ← and →, to see what it changes.",
  );
  readonly #cardButtons = html("div", { class: "effdl-card-buttons" });
  readonly #apply: HTMLButtonElement;
  readonly #legend = html("div", { class: "effdl-legend" });
  readonly #table: ParetoTable;
  readonly #volume = html("span");
  readonly #knee: HTMLButtonElement;
  readonly #best = html("span");
  readonly #budgetInput = html("input", {
    type: "range",
    min: "0",
    max: "100",
    step: "1",
    value: "100",
    "aria-label": "Budget",
  });
  readonly #log: HTMLInputElement;
  readonly #memo = { axes: memo(), card: memo(), legend: memo(), hover: memo() };
  #payload: ParetoPayload;
  #points: Point[] = [];
  #choices: Quantity[] = [];
  #axis: Quantity;
  #percent = false;
  #pinned: number | null = null;
  #selected: number[] = [];
  #hovered: number | null = null;
  #walked: number | null = null;
  #volumes = new Map<string, { last: number; change: number }>();

  constructor(payload: ParetoPayload, emit: Emit, signal: AbortSignal) {
    this.#payload = payload;
    this.#emit = emit;
    this.#signal = signal;
    this.#choices = axisChoices(payload.axes, this.#work);
    this.#axis = this.#choices[0] ??
      axisChoices(["params"], this.#work)[0] ?? { id: "", key: "", title: "", factor: 1, write: String };
    this.#run = new RunBar(emit, signal);
    this.#chart = new Chart(() => this.#draw(), signal);
    this.#table = new ParetoTable((number) => this.#pin(number, false), signal);
    this.#apply = button("Apply this one", { primary: true, command: true }, () => this.#applyPinned(), signal);
    this.#knee = button(
      "",
      { className: "effdl-link" },
      () => this.#pin(this.#payload.knee[this.#axis.key] ?? null, false),
      signal,
    );
    const log = checkBox("Log", () => this.#draw(), signal);
    log.root.title = "Logarithmic cost axis";
    this.#log = log.input;
    this.#budgetInput.addEventListener("input", () => this.#draw(), { signal });
    this.#stage.append(this.#chart.root, this.#hover);
    this.#listen(signal);
    this.#cardButtons.append(
      this.#apply,
      button("Unpin", {}, () => this.#pin(null, false), signal),
    );
    this.#card.append(this.#cardHint, this.#cardHead, this.#cardButtons, this.#cardBody);
    const axisHolder = html("span", { class: "effdl-axis-holder" });
    const budget = html(
      "label",
      { class: "effdl-check", title: "Largest cost that you want to pay" },
      "Budget",
      this.#budgetInput,
    );
    this.#tools.append(axisHolder, log.root, budget, html("span", { class: "effdl-grow" }), this.#legend);
    this.root.append(
      this.#run.bar,
      html("header", { class: "effdl-head" }, this.#title, this.#run.line, this.#run.buttons),
      this.#run.message,
      this.#tools,
      html(
        "div",
        { class: "effdl-split" },
        html("div", { class: "effdl-plot" }, this.#stage, this.#empty, this.#said),
        this.#card,
      ),
      this.#table.root,
      html(
        "footer",
        { class: "effdl-foot" },
        this.#volume,
        this.#knee,
        this.#best,
        html("span", { class: "effdl-grow" }),
        html("span", { class: "effdl-keys" }, "← → walk the front · Enter pins · A applies · Esc unpins"),
      ),
    );
  }

  update(payload: ParetoPayload): void {
    this.#payload = payload;
    const scores = payload.candidates.flatMap((candidate) => candidate.values.score ?? []);
    this.#percent = isShare(payload.metric, scores);
    this.#memo.axes(payload.axes, () => this.#drawAxisChoice());
    this.#run.update(payload);
    this.#noteVolumes();
    this.#draw();
  }

  select(values: readonly Chosen[]): void {
    const numbers = values.filter((value): value is number => typeof value === "number");
    this.#selected = numbers;
    this.#pinned = numbers.at(-1) ?? null;
    this.#draw();
  }

  #drawAxisChoice(): void {
    this.#choices = axisChoices(this.#payload.axes, this.#work);
    const kept = this.#choices.find((choice) => choice.id === this.#axis.id) ?? this.#choices[0];
    if (kept) this.#axis = kept;
    const pick = (id: string): void => {
      this.#axis = this.#choices.find((choice) => choice.id === id) ?? this.#axis;
      this.#budgetInput.value = "100";
      this.#draw();
    };
    const list = select(
      "Cost axis",
      this.#choices.map((choice) => ({ value: choice.id, label: choice.title })),
      pick,
      this.#signal,
    );
    list.value = this.#axis.id;
    const holder = this.#tools.querySelector(".effdl-axis-holder");
    if (holder)
      fill(holder, html("label", { class: "effdl-check" }, html("span", { "aria-hidden": "true" }, "Against"), list));
  }

  /** Keep the last change of each hypervolume, so that a reader sees it grow. */
  #noteVolumes(): void {
    for (const [key, value] of Object.entries(this.#payload.hypervolume)) {
      if (value === null) continue;
      const before = this.#volumes.get(key);
      if (!before) this.#volumes.set(key, { last: value, change: 0 });
      else if (before.last !== value) this.#volumes.set(key, { last: value, change: value - before.last });
    }
  }

  #draw(): void {
    const payload = this.#payload;
    this.#points = pointsOf(payload, this.#axis);
    const drawn = this.#points.filter((point) => isPlaced(point));
    setText(this.#title, `${payload.metric === "score" ? "Score" : payload.metric} against ${this.#axis.title}`);
    const text = summary(payload, this.#axis, this.#points, this.#percent);
    this.root.setAttribute("aria-label", `Pareto view of ${payload.title}`);
    show(this.#empty, drawn.length === 0);
    setText(this.#empty, emptyText(payload));
    this.#stage.toggleAttribute("data-empty", drawn.length === 0);
    this.#chart.draw({
      points: this.#points,
      axis: this.#axis,
      metric: { name: payload.metric, percent: this.#percent, better: payload.metric_better },
      log: this.#log.checked,
      pinned: this.#pinned,
      selected: this.#selected,
      hovered: this.#hovered ?? this.#walked,
      applied: payload.applied,
      budget: this.#budget(),
      summary: text,
    });
    this.#drawHover();
    this.#drawCard();
    this.#drawLegend();
    this.#drawFoot();
    const front = new Set(payload.fronts[this.#axis.key] ?? []);
    this.#table.update(payload, {
      front,
      percent: this.#percent,
      work: this.#axis.id === "macs" ? "macs" : this.#work,
    });
  }

  /** The largest wanted cost; the slider's right end means no limit. */
  #budget(): number | null {
    const place = Number(this.#budgetInput.value);
    const costs = this.#points.filter(isPlaced).map((point) => point.x);
    if (place >= 100 || costs.length === 0) return null;
    const low = Math.min(...costs);
    const budget = low + ((Math.max(...costs) - low) * place) / 100;
    this.#budgetInput.setAttribute("aria-valuetext", `at most ${this.#axis.write(budget)}`);
    return budget;
  }

  #candidate(number: number | null): CandidateRow | undefined {
    return number === null ? undefined : this.#payload.candidates.find((candidate) => candidate.number === number);
  }

  #context(): { payload: ParetoPayload; percent: boolean; work: "flops" | "macs" } {
    return { payload: this.#payload, percent: this.#percent, work: this.#axis.id === "macs" ? "macs" : this.#work };
  }

  #drawHover(): void {
    const number = this.#hovered ?? this.#walked;
    const candidate = this.#candidate(number);
    const at = this.#chart.place(number);
    const shown = candidate !== undefined && at !== null && number !== this.#pinned;
    show(this.#hover, shown);
    if (!shown || !candidate || !at) return;
    this.#memo.hover([candidate, this.#axis.id, this.#payload.dense], () =>
      fill(this.#hover, ...hoverCard(candidate, this.#context())),
    );
    const width = this.#stage.clientWidth || 560;
    const toLeft = at.x > width / 2;
    const low = at.y < 150;
    this.#hover.style.left = toLeft ? "" : `${Math.min(at.x + 14, Math.max(0, width - 190))}px`;
    this.#hover.style.right = toLeft ? `${Math.max(0, Math.min(width - at.x + 14, width - 190))}px` : "";
    this.#hover.style.top = low ? `${at.y + 14}px` : "";
    this.#hover.style.bottom = low ? "" : `calc(100% - ${at.y - 14}px)`;
  }

  #drawCard(): void {
    const candidate = this.#candidate(this.#pinned);
    const dense = this.#candidate(this.#payload.dense);
    show(this.#cardHint, candidate === undefined && this.#payload.candidates.length > 0);
    show(this.#cardButtons, candidate !== undefined);
    show(this.#card, this.#payload.candidates.length > 0);
    this.#memo.card([candidate, dense, this.#axis.id, this.#percent], () => {
      fill(this.#cardHead, ...(candidate ? cardHead(candidate, this.#context()) : []));
      fill(this.#cardBody, ...(candidate ? cardBody(candidate) : []));
    });
    const applied = candidate !== undefined && this.#payload.applied === candidate.number;
    this.#apply.disabled = candidate?.state !== "done" || applied;
    setText(this.#apply, applied ? "Applied" : "Apply this one");
    setAll(this.#card, { "data-number": this.#pinned });
  }

  #drawLegend(): void {
    const done = this.#payload.candidates.filter((candidate) => candidate.number !== this.#payload.dense);
    const families = [...new Set(done.map((candidate) => candidate.family))].sort();
    const failed = this.#points.some((point) => point.candidate.state === "failed" && point.x !== null);
    this.#memo.legend([families, failed], () => {
      const titles = new Set<string>();
      const items = families.flatMap((name) => {
        const { title } = familyOf(name);
        if (titles.has(title)) return [];
        titles.add(title);
        return [html("span", {}, familyMark(name), title)];
      });
      if (failed)
        items.push(html("span", {}, html("span", { class: "effdl-bad", "aria-hidden": "true" }, "✕ "), "Failed"));
      if (items.length > 0) items.push(html("span", { class: "effdl-muted" }, "faded: beaten by another"));
      fill(this.#legend, ...items);
    });
  }

  #drawFoot(): void {
    const key = this.#axis.key;
    const volume = this.#payload.hypervolume[key] ?? null;
    const change = this.#volumes.get(key)?.change ?? 0;
    const grown =
      change === 0
        ? null
        : html(
            "span",
            { class: change > 0 ? "effdl-good" : "effdl-bad" },
            ` ${change > 0 ? "+" : "\u2212"}${Math.abs(change).toFixed(3)}`,
          );
    fill(
      this.#volume,
      "Hypervolume ",
      html(
        "b",
        {},
        maybeText(volume, (value) => value.toFixed(3)),
      ),
      grown,
    );
    this.#volume.title = "Share of the box from the worst score and the dense model's cost that the front dominates";
    const knee = this.#payload.knee[key] ?? null;
    show(this.#knee, knee !== null);
    setText(this.#knee, `Knee: candidate ${knee}`);
    const budget = this.#budget();
    const within = frontOf(this.#points)
      .filter((point) => budget !== null && point.x <= budget)
      .at(-1);
    show(this.#best, budget !== null);
    if (budget === null) return;
    const dense = this.#points.filter(isPlaced).find((point) => point.dense);
    const less = within && dense && dense.x > 0 ? ` (${percentText(within.x / dense.x - 1)})` : "";
    const found = within
      ? `${candidateTitle(within.candidate, this.#payload).toLowerCase()}, ${scoreText(within.y, this.#percent)}${less}`
      : "none";
    setText(this.#best, `Best within ${this.#axis.write(budget)}: ${found}`);
  }

  #listen(signal: AbortSignal): void {
    const stage = this.#stage;
    const nearest = (event: PointerEvent | MouseEvent): number | null => {
      const mark = event.target instanceof Element ? event.target.closest("[data-number]") : null;
      return mark ? Number(mark.getAttribute("data-number")) : this.#chart.nearest(event.clientX, event.clientY);
    };
    stage.addEventListener("pointermove", (event) => this.#near(nearest(event)), { signal });
    stage.addEventListener("pointerleave", () => this.#near(null), { signal });
    stage.addEventListener("click", (event) => this.#pin(nearest(event), event.ctrlKey || event.metaKey), { signal });
    stage.addEventListener("blur", () => this.#walk(null), { signal });
    this.root.addEventListener("keydown", (event) => this.#key(event), { signal });
  }

  #near(number: number | null): void {
    if (number === this.#hovered) return;
    this.#hovered = number;
    this.#draw();
  }

  #walk(number: number | null): void {
    if (number === this.#walked) return;
    this.#walked = number;
    const candidate = this.#candidate(number);
    if (candidate) {
      const point = this.#points.find((known) => known.candidate === candidate);
      const cost = maybeText(point?.x, this.#axis.write);
      const score = maybeText(point?.y, (value) => scoreText(value, this.#percent));
      setText(this.#said, `${candidateTitle(candidate, this.#payload)}: ${score}, ${cost}. ${candidate.label}`);
    }
    this.#draw();
  }

  #pin(number: number | null, also: boolean): void {
    if (also && number !== null) {
      const kept = this.#selected.filter((other) => other !== number);
      this.#selected = kept.length === this.#selected.length ? [...kept, number] : kept;
    } else this.#selected = number === null ? [] : [number];
    this.#pinned = this.#selected.at(-1) ?? null;
    this.#emit.select([...this.#selected]);
    this.#draw();
  }

  #applyPinned(): void {
    const candidate = this.#candidate(this.#pinned);
    if (candidate?.state === "done" && candidate.number !== this.#payload.applied) {
      this.#emit.command("apply", { number: candidate.number });
    }
  }

  #key(event: KeyboardEvent): void {
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("input, select, textarea, summary") || event.ctrlKey || event.metaKey || event.altKey) return;
    const onStage = target === this.#stage;
    const front = frontOf(this.#points);
    const start = this.#payload.knee[this.#axis.key] ?? null;
    const here = this.#walked ?? this.#pinned;
    if (onStage && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      this.#walk(stepAlong(front, here, event.key === "ArrowRight" ? 1 : -1, start));
    } else if (onStage && (event.key === "Home" || event.key === "End")) {
      this.#walk(front.at(event.key === "Home" ? 0 : -1)?.candidate.number ?? null);
    } else if (onStage && event.key === "Enter") this.#pin(here, false);
    else if (event.key === "a" || event.key === "A") this.#apply.hidden || this.#applyPinned();
    else if (event.key === "Escape") {
      this.#walk(null);
      this.#pin(null, false);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function emptyText(payload: ParetoPayload): string {
  if (payload.state === "idle") return "Nothing tried yet. Start the search and the candidates appear here.";
  if (payload.state === "running") return "Working on the first candidate. It appears here as soon as it has a score.";
  if (payload.failed > 0 && payload.done === 0)
    return "No candidate has a score: all of them failed. The table says why.";
  return "No candidate has a score.";
}
