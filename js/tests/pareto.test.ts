import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ParetoPayload } from "../src/core/wire";
import { drawPareto } from "../src/views/pareto";
import { find, Heard, key, pareto, place, press } from "./fake";

function mount(payload: ParetoPayload = pareto()) {
  const el = place();
  const heard = new Heard();
  const end = new AbortController();
  const view = drawPareto(el, payload, heard, end.signal);
  const marks = (state: string): number[] =>
    [...el.querySelectorAll(`[data-number][data-state=${state}]`)].map((node) =>
      Number(node.getAttribute("data-number")),
    );
  return { el, heard, end, view, marks, stage: find(el, ".effdl-stage") };
}

const shown = (el: HTMLElement): string[] =>
  [...el.querySelectorAll(".effdl-head button")]
    .filter((node) => !node.hasAttribute("hidden"))
    .map((node) => node.textContent);

beforeEach(() => document.body.replaceChildren());
afterEach(() => vi.useRealTimers());

describe("the Pareto view", () => {
  it("has one mark for each finished candidate, and no other done mark", () => {
    const { marks } = mount();
    const done = pareto().candidates.filter((candidate) => candidate.state === "done");
    expect(marks("done").sort((a, b) => a - b)).toEqual(done.map((candidate) => candidate.number));
    expect(marks("failed")).toEqual([23]); // the other failed before it had a cost
    expect(marks("running")).toEqual([25]);
    expect(marks("planned")).toEqual([]);
  });

  it("tells the front, the beaten and the dense model apart", () => {
    const { el } = mount();
    expect(el.querySelectorAll("[data-front]")).toHaveLength(9);
    expect(el.querySelectorAll("[data-dominated]")).toHaveLength(14);
    expect(find(el, "[data-dense]").getAttribute("data-number")).toBe("0");
    expect(
      new Set([...el.querySelectorAll("[data-family]")].map((node) => node.getAttribute("data-family"))).size,
    ).toBe(5);
    expect(find(el, ".effdl-stairs").getAttribute("d")).toMatch(/^M[\d.]+,\d+L.*H\d+$/);
  });

  it("keeps the marks as they are while new ones come", () => {
    const { el, view, marks } = mount({ ...pareto(), candidates: pareto().candidates.slice(0, 5) });
    const before = find(el, "[data-number='3']");
    view.update(pareto());
    expect(find(el, "[data-number='3']")).toBe(before);
    expect(marks("done")).toHaveLength(23);
  });

  it("pins by click: the card, the arrow, the selection", () => {
    const { el, heard } = mount();
    find(el, "[data-number='11']").dispatchEvent(new MouseEvent("click", { bubbles: true }));
    expect(heard.selections).toEqual([[11]]);
    const card = find(el, ".effdl-card");
    expect(card.textContent).toContain("Candidate 11");
    expect(card.textContent).toContain("1.21 G −67%");
    expect(card.textContent).toContain("98.9% −0.4 pts");
    expect(card.querySelectorAll(".effdl-plus")).toHaveLength(3);
    expect(find(el, ".effdl-arrow")).toBeTruthy();
    press(el, "Apply this one");
    expect(heard.commands).toEqual([{ verb: "apply", args: { number: 11 } }]);
    press(el, "Unpin");
    expect(heard.selections.at(-1)).toEqual([]);
  });

  it("is walked, pinned, applied and left by keyboard", () => {
    const { el, heard, stage } = mount();
    key(stage, "ArrowRight");
    expect(find(el, ".effdl-hover").textContent).toContain("Candidate 11");
    expect(find(el, "[aria-live=polite]").textContent).toContain("Candidate 11: 98.9%, 1.21 G");
    key(stage, "ArrowLeft");
    key(stage, "Enter");
    expect(heard.selections.at(-1)).toEqual([13]);
    key(stage, "a");
    expect(heard.commands).toEqual([{ verb: "apply", args: { number: 13 } }]);
    key(stage, "Escape");
    expect(heard.selections.at(-1)).toEqual([]);
  });

  it("applies no candidate that is not done or is applied already", () => {
    const { el, heard, stage, view } = mount({ ...pareto(), applied: 11 });
    view.select([11]);
    key(stage, "a");
    view.select([25]);
    key(stage, "a");
    expect(heard.commands).toEqual([]);
    expect([...el.querySelectorAll(".effdl-card button")][0]?.hasAttribute("disabled")).toBe(true);
  });

  it("says how far it is and steers the run", () => {
    const { el, heard, view } = mount();
    expect(find(el, ".effdl-head").textContent).toContain("25 of 60 · 72.0 s left · 2 failed");
    expect(find(el, "[role=progressbar]").getAttribute("aria-valuenow")).toBe("42");
    expect(shown(el)).toEqual(["Pause", "Cancel"]);
    press(el, "Cancel");
    view.update({ ...pareto(), state: "paused" });
    expect(shown(el)).toEqual(["Resume", "Cancel"]);
    press(el, "Resume");
    view.update({ ...pareto(), state: "cancelled", seconds_left: null });
    expect(shown(el)).toEqual([]);
    expect(find(el, ".effdl-head").textContent).toContain("Cancelled · 25 of 60");
    expect(heard.commands.map((command) => command.verb)).toEqual(["cancel", "resume"]);
  });

  it("begins empty, with Start", () => {
    const { el, heard } = mount({
      ...pareto(),
      state: "idle",
      candidates: [],
      dense: null,
      fronts: {},
      hypervolume: {},
      knee: {},
      failed: 0,
    });
    expect(find(el, ".effdl-empty").textContent).toContain("Nothing tried yet");
    expect(shown(el)).toEqual(["Start"]);
    press(el, "Start");
    expect(heard.commands).toEqual([{ verb: "start", args: {} }]);
  });

  it("changes the axis", () => {
    const { el } = mount();
    const list = find<HTMLSelectElement>(el, "select");
    expect([...list.options].map((option) => option.textContent)).toEqual([
      "FLOPs",
      "MACs",
      "Parameters",
      "Parameter bytes",
      "Inference peak",
    ]);
    list.value = "inference_peak_bytes";
    list.dispatchEvent(new Event("change"));
    expect(find(el, "h3").textContent).toBe("Accuracy against inference peak");
    expect(find(el, "[data-dense]").getAttribute("data-cost")).toBe("6400000");
  });

  it("finds the best within a budget", () => {
    const { el } = mount();
    const slider = find<HTMLInputElement>(el, "input[type=range]");
    slider.value = "40";
    slider.dispatchEvent(new Event("input"));
    expect(find(el, ".effdl-foot").textContent).toContain("Best within 1.69 G: candidate 9, 99.0% (−55%)");
    expect(find(el, "[data-number='0']").hasAttribute("data-beyond")).toBe(true);
  });

  it("asks the search for a budget when the slider stands still, and lifts it", () => {
    vi.useFakeTimers();
    const { el, heard, view } = mount();
    const slider = find<HTMLInputElement>(el, "input[type=range]");
    for (const place of ["60", "50", "40"]) {
      slider.value = place;
      slider.dispatchEvent(new Event("input"));
    }
    expect(heard.commands).toEqual([]);
    vi.advanceTimersByTime(250);
    const [command] = heard.commands;
    expect(heard.commands).toHaveLength(1);
    expect(command?.verb).toBe("set_budget");
    expect(command?.args.axis).toBe("macs");
    const limit = Number(command?.args.limit); // the payload counts MACs, the axis FLOPs: 1.69 G
    expect(2 * limit).toBeGreaterThan(1.68e9);
    expect(2 * limit).toBeLessThan(1.7e9);
    view.update({ ...pareto(), budgets: { macs: limit } });
    press(el, "×");
    expect(find(el, ".effdl-limits").hasAttribute("hidden")).toBe(true);
    vi.advanceTimersByTime(250);
    expect(heard.commands.at(-1)).toEqual({ verb: "set_budget", args: { axis: "macs", limit: null } });
  });

  it("draws the budgets that the search has, each on its axis", () => {
    const { el, view } = mount({ ...pareto(), budgets: { macs: 0.6e9, params: 8e6 } });
    expect(find(el, ".effdl-handle").textContent).toBe("≤ 1.20 G");
    expect(find(el, ".effdl-limits").textContent).toBe("FLOPs ≤ 1.20 G×Parameters ≤ 8.00 M×");
    const list = find<HTMLSelectElement>(el, "select");
    list.value = "params";
    list.dispatchEvent(new Event("change"));
    expect(find(el, ".effdl-handle").textContent).toBe("≤ 8.00 M");
    view.update({ ...pareto(), budgets: {} });
    expect(el.querySelector(".effdl-handle")).toBeNull();
  });

  it("keeps a newer wish when an older one is granted late", () => {
    vi.useFakeTimers();
    const { el, heard, view } = mount();
    const slider = find<HTMLInputElement>(el, "input[type=range]");
    const move = (place: string): void => {
      slider.value = place;
      slider.dispatchEvent(new Event("input"));
      vi.advanceTimersByTime(250);
    };
    move("60");
    const first = find(el, ".effdl-handle").textContent;
    move("40");
    const second = find(el, ".effdl-handle").textContent;
    expect(first).not.toBe(second);
    const sentLimit = (index: number): number => Number(heard.commands[index]?.args.limit);
    view.update({ ...pareto(), budgets: { macs: sentLimit(0) } });
    expect(find(el, ".effdl-handle").textContent).toBe(second);
    view.update({ ...pareto(), budgets: { macs: sentLimit(1) } });
    expect(find(el, ".effdl-handle").textContent).toBe(second);
    view.update({ ...pareto(), budgets: { macs: 0.9e9 } }); // somebody set it from Python
    expect(find(el, ".effdl-handle").textContent).toBe("≤ 1.80 G");
  });

  it("shows rungs, the way up, who thought of it, and errors of what was measured", () => {
    const payload = pareto();
    payload.axes = ["latency_s", ...payload.axes];
    payload.fronts.latency_s = [11];
    const tuned = payload.candidates.find((candidate) => candidate.number === 11);
    const plain = payload.candidates.find((candidate) => candidate.number === 9);
    if (!tuned || !plain) throw new Error("the sample lost its candidates");
    Object.assign(tuned, { rung: "fine-tuned", source: "tpe", errors: { latency_s: 0.0001, score: 0.004 } });
    tuned.climbed = [{ rung: "repaired", score: 0.971, seconds: 1 }];
    tuned.values.latency_s = 0.0124;
    plain.rung = "zero-shot";
    plain.values.latency_s = 0.02;
    const { el, view } = mount(payload);
    expect(find(el, "[data-number='11']").getAttribute("data-rung")).toBe("fine-tuned");
    expect(find(el, ".effdl-legend").textContent).toContain("zero-shot");
    expect(find(el, ".effdl-legend").textContent).toContain("21 not measured: far from the front");
    expect(el.querySelectorAll(".effdl-error[data-front]")).toHaveLength(1);
    view.select([11]);
    expect(el.querySelectorAll(".effdl-climb")).toHaveLength(1);
    const card = find(el, ".effdl-card").textContent;
    expect(card).toContain("repaired 97.1% → fine-tuned 98.9%");
    expect(card).toContain("Proposed by TPE");
    expect(card).toContain("12.4 ms ± 100 µs");
    const twin = find<HTMLDetailsElement>(el, ".effdl-twin");
    twin.open = true;
    twin.dispatchEvent(new Event("toggle"));
    expect(find(twin, "[data-pin='11']").closest("tr")?.textContent).toContain("12.4 ms ± 100 µs");
  });

  it("shows how the hypervolume grew and what brought it, on the axis that the search is after", () => {
    const payload = { ...pareto(), volumes: [0, 0.5, 0.871], contributions: { low_rank: 0.25, channel_prune: 0.5 } };
    const { el } = mount({ ...payload, objectives: ["macs"] });
    expect(find(el, ".effdl-spark svg").getAttribute("aria-label")).toContain("from 0.000 to 0.871 over 3 results");
    expect(find(el, ".effdl-foot").textContent).toContain("lost without: channel prune 50%, low rank 25%");
    const list = find<HTMLSelectElement>(el, "select");
    list.value = "params";
    list.dispatchEvent(new Event("change"));
    expect(find(el, ".effdl-spark").hasAttribute("hidden")).toBe(true);
  });

  it("shows that the hypervolume grew", () => {
    const { el, view } = mount();
    view.update({ ...pareto(), hypervolume: { macs: 0.885 } });
    expect(find(el, ".effdl-foot").textContent).toContain("Hypervolume 0.885 +0.014");
  });

  it("is a picture with words, and a table", () => {
    const { el, heard } = mount();
    expect(find(el, "svg[role=img].effdl-svg").getAttribute("aria-label")).toContain("23 candidates, 9 on the front");
    const twin = find<HTMLDetailsElement>(el, ".effdl-twin");
    twin.open = true;
    twin.dispatchEvent(new Event("toggle"));
    expect(twin.querySelectorAll("tbody tr")).toHaveLength(pareto().candidates.length);
    find(twin, "[data-pin='5']").click();
    expect(heard.selections).toEqual([[5]]);
  });

  it("sets names as text", () => {
    const payload = pareto();
    for (const candidate of payload.candidates) candidate.label = candidate.note = "<script>alert(1)</script>";
    const { el, view } = mount(payload);
    view.select([11]);
    expect(el.querySelectorAll("script")).toHaveLength(0);
    expect(el.textContent).toContain("<script>alert(1)</script>");
  });

  it("ends with its signal", () => {
    const { el, heard, end, stage } = mount();
    end.abort();
    press(el, "Pause");
    key(stage, "ArrowRight");
    key(stage, "Enter");
    find(el, "[data-number='11']").dispatchEvent(new MouseEvent("click", { bubbles: true }));
    expect([heard.commands, heard.selections]).toEqual([[], []]);
  });
});
