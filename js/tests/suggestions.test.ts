import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SuggestionsPayload } from "../src/core/wire";
import { drawSuggestions } from "../src/views/suggestions";
import { find, Heard, pareto, place, press, suggestions } from "./fake";

function mount(payload: SuggestionsPayload = suggestions()) {
  const el = place();
  const heard = new Heard();
  const end = new AbortController();
  const view = drawSuggestions(el, payload, heard, end.signal);
  const boxes = (): HTMLInputElement[] => [...el.querySelectorAll<HTMLInputElement>("input[type=checkbox]")];
  const button = (text: string): HTMLButtonElement | undefined =>
    [...el.querySelectorAll("button")].find((node) => node.textContent === text);
  return { el, heard, end, view, boxes, button };
}

beforeEach(() => {
  document.body.replaceChildren();
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

describe("the suggestion list", () => {
  it("says what, what it brings, why, and the bad news", () => {
    const { el } = mount();
    const rows = [...el.querySelectorAll("li.effdl-sugg")];
    expect(rows).toHaveLength(4);
    expect(rows[0]?.textContent).toContain("Prune layer4, 512 → 352 channels");
    expect(rows[0]?.textContent).toContain("−31% −3.62 M");
    expect(rows[2]?.querySelector(".effdl-why .effdl-bad")?.textContent).toBe("Will not be faster here.");
    expect(rows[3]?.querySelector(".effdl-cell-output")?.textContent).toBe("Output error: –");
    expect(rows[0]?.textContent).toContain("−21% ± 1.2%");
    expect(rows[0]?.querySelector(".effdl-cell-time .effdl-good")?.textContent).toBe("−21%");
    expect(rows[2]?.querySelector(".effdl-cell-time .effdl-bad")?.textContent).toBe("+4.0%");
    expect(rows[1]?.querySelector(".effdl-cell-time")?.textContent).toContain("–");
    expect(find(el, "[role=img][aria-label='high risk']")).toBeTruthy();
  });

  it("is sorted by a column, what was not measured last, and back in the order of the goal", () => {
    const { el, heard, boxes } = mount();
    const order = (): (string | undefined)[] =>
      [...el.querySelectorAll<HTMLElement>("li.effdl-sugg")].map((row) => row.dataset.index);
    boxes()[1]?.click();
    press(el, "Time");
    expect(order()).toEqual(["0", "2", "1", "3"]);
    expect(boxes().map((box) => box.checked)).toEqual([false, false, true, false]);
    expect(press(el, "Output error").getAttribute("aria-pressed")).toBe("true");
    expect(order()).toEqual(["0", "2", "1", "3"]);
    press(el, "Output error");
    expect(order()).toEqual(["0", "1", "2", "3"]);
    expect(heard.commands).toEqual([]);
  });

  it("has a column of scores where there are any, the best first", () => {
    const payload = suggestions();
    for (const [place, row] of payload.rows.entries()) row.score = place === 3 ? null : 0.9 + 0.01 * place;
    const { el } = mount(payload);
    expect(el.querySelector("[data-scores] .effdl-cell-score")).toBeTruthy();
    press(el, "Score");
    expect([...el.querySelectorAll<HTMLElement>("li.effdl-sugg")].map((row) => row.dataset.index)).toEqual([
      "2",
      "1",
      "0",
      "3",
    ]);
    expect(mount().el.querySelector("[data-scores]")).toBeNull();
  });

  it("names each check box by its headline", () => {
    const { boxes } = mount();
    expect(boxes()[0]?.closest("label")?.textContent).toBe("Prune layer4, 512 → 352 channels");
  });

  it("asks for one preview when the ticks have settled, and shows the total", () => {
    const { el, heard, boxes, view } = mount({ ...suggestions(), preview: null });
    boxes()[0]?.click();
    boxes()[1]?.click();
    expect(heard.selections).toEqual([[0], [0, 1]]);
    expect(find(el, ".effdl-foot").textContent).toContain("2 chosen. Adding up…");
    vi.advanceTimersByTime(300);
    expect(heard.commands).toEqual([{ verb: "preview", args: { indices: [0, 1] } }]);
    view.update(suggestions());
    expect(find(el, ".effdl-foot").textContent).toContain("2 chosen: −35% parameters (7.60 M), −20% FLOPs");
  });

  it("applies what is ticked and undoes", () => {
    const { heard, boxes, button, view } = mount();
    expect(button("Apply 0")?.disabled).toBe(true);
    expect(button("Undo")?.disabled).toBe(true);
    boxes()[0]?.click();
    boxes()[1]?.click();
    button("Apply 2")?.click();
    expect(heard.commands.at(-1)).toEqual({ verb: "apply", args: { indices: [0, 1] } });
    const applied = suggestions().preview;
    view.update({ ...suggestions(), applied, undo: 1, diff: pareto().candidates[11]?.diff ?? [] });
    expect(button("Apply 2")?.disabled).toBe(true);
    button("Undo")?.click();
    expect(heard.commands.at(-1)).toEqual({ verb: "undo", args: {} });
  });

  it("shows what was applied and how the architecture changed", () => {
    const applied = suggestions().preview;
    const { el } = mount({ ...suggestions(), applied, diff: pareto().candidates[11]?.diff ?? [] });
    expect(find(el, ".effdl-applied").textContent).toContain("Applied 2: −35% parameters");
    expect(el.querySelectorAll(".effdl-minus")).toHaveLength(2);
    expect(el.querySelectorAll(".effdl-plus")).toHaveLength(3);
  });

  it("changes the goal", () => {
    const { el, heard } = mount();
    press(el, "Training memory");
    expect(heard.commands).toEqual([{ verb: "goal", args: { goal: "saved_bytes" } }]);
  });

  it("shows work in progress and lets nothing be pressed meanwhile", () => {
    const status = { state: "working" as const, message: "Applying", done: 1, planned: 4 };
    const { el, button, view } = mount({ ...suggestions(), status, undo: 2 });
    view.select([0, 1]);
    expect(find(el, "[role=progressbar]").getAttribute("aria-valuenow")).toBe("25");
    expect(find(el, ".effdl-status").textContent).toBe("Applying 1 of 4");
    expect([button("Apply 2")?.disabled, button("Undo")?.disabled]).toEqual([true, true]);
  });

  it("says why places were skipped, and what to do without any suggestion", () => {
    const { el } = mount({ ...suggestions(), rows: [] });
    expect(find(el, ".effdl-skips summary").textContent).toBe("5 skipped, why?");
    expect(find(el, ".effdl-skips").textContent).toContain("It is the model's output.");
    expect(find(el, ".effdl-empty").hidden).toBe(false);
  });

  it("keeps the same check boxes when numbers come again", () => {
    const { boxes, view } = mount();
    const before = boxes()[0];
    view.update(suggestions());
    expect(boxes()[0]).toBe(before);
  });

  it("sets names as text", () => {
    const payload = suggestions();
    for (const row of payload.rows) row.headline = row.reason = "<script>alert(1)</script>";
    expect(mount(payload).el.querySelectorAll("script")).toHaveLength(0);
  });

  it("ends with its signal", () => {
    const { el, heard, end, boxes } = mount();
    boxes()[0]?.click();
    end.abort();
    vi.advanceTimersByTime(1000);
    press(el, "Training memory");
    expect(heard.commands).toEqual([]);
  });
});
