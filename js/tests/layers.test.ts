import { beforeEach, describe, expect, it } from "vitest";
import type { LayersPayload } from "../src/core/wire";
import { drawLayers } from "../src/views/layers";
import { find, goldens, Heard, key, layers, place, press } from "./fake";

function mount(payload = layers()) {
  const el = place();
  const heard = new Heard();
  const end = new AbortController();
  const view = drawLayers(el, payload, heard, end.signal);
  const grid = find(el, "table");
  const rows = (): HTMLElement[] => [...el.querySelectorAll<HTMLElement>("tr[data-layer]")];
  const row = (name: string): HTMLElement => find(el, `tr[data-layer="${name}"]`);
  return { el, heard, end, view, grid, rows, row };
}

/** A payload that Python wrote. */
function golden(file: string): LayersPayload {
  const payload = goldens().find(([name]) => name === file)?.[1];
  if (payload?.view !== "layers") throw new Error(`no golden ${file}`);
  return payload;
}

/** That of a model with measured times. */
function timed(): LayersPayload {
  return golden("layers_timed.json");
}

beforeEach(() => document.body.replaceChildren());

describe("the layer table", () => {
  it("shows the totals, each peak with its layer, and what was counted", () => {
    const { el } = mount();
    const text = find(el, ".effdl-totals").textContent;
    for (const part of [
      "11.7 M",
      "46.8 MB",
      "FLOPs (2 × MACs)",
      "3.63 G",
      "at bn1",
      "largest: layer4.0.conv2",
      "Saved for backward19.3 MBlargest: bn1",
      "Training peak, SGD",
      "28.8 ms",
      "± 0.9 ms",
    ]) {
      expect(text).toContain(part);
    }
    expect(find(el, ".effdl-foot").textContent).toContain("67 layersEverything counted");
    expect(find(el, ".effdl-view").dataset.lmSuppressShortcuts).toBe("true");
  });

  it("says at least where something was not counted", () => {
    const { el } = mount({ ...layers(), uncounted: ["aten::unique × 1 at head"] });
    expect(find(el, ".effdl-totals").textContent).toContain("at least");
    expect(find(el, ".effdl-foot").textContent).toContain("1 operation not counted");
  });

  it("says at least beside the memory that a kernel keeps out of sight, and which layer does", () => {
    const { el } = mount(golden("layers_masked.json"));
    const least = [...el.querySelectorAll(".effdl-totals > div")]
      .filter((tile) => tile.textContent?.includes("at least"))
      .map((tile) => tile.querySelector("dt")?.textContent);
    expect(least).toEqual(["FLOPs (2 × MACs)", "Inference peak", "Saved for backward", "Training peak, SGD"]);
    const peak = [...el.querySelectorAll<HTMLElement>(".effdl-note")].find((note) => note.title.includes("kernel"));
    expect(peak?.title).toContain("block, block.<script>");
    const exact = mount();
    expect(find(exact.el, ".effdl-totals").textContent).not.toContain("at least");
  });

  it("lists the zeros that a kernel multiplies by, and nothing where nobody counted them", () => {
    const { el, view } = mount(golden("layers_masked.json"));
    const zeros = find(el, ".effdl-foot details:not(.effdl-warn)");
    expect(find(zeros, "summary").textContent).toBe(
      "Zeros: 4,778 of 9,546 parameters (50.1%), as the layers read them.",
    );
    expect([...zeros.querySelectorAll("li")].at(-1)?.textContent).toBe(
      "fc.weight: 50% zeros behind a mask, in the 2:4 pattern; its kernel multiplies by them all the same",
    );
    view.update(layers());
    expect(find(el, ".effdl-foot").textContent).not.toContain("Zeros");
    view.update({ ...layers(), zeros: { summary: "Zeros: 0 of 8", tensors: [] } });
    expect(find(el, ".effdl-foot").textContent).toContain("Zeros: 0 of 8");
    expect(el.querySelector(".effdl-foot details")).toBeNull();
  });

  it("goes to the layer that holds most of the parameters", () => {
    const { el, row } = mount();
    press(el, "largest: layer4.0.conv2");
    expect(row("layer4.0.conv2").hasAttribute("data-active")).toBe(true);
  });

  it("switches from FLOPs to MACs and from everything to the layer itself", () => {
    const { el, row } = mount();
    expect(row("layer4").textContent).toContain("822 M");
    press(el, "MACs");
    expect(row("layer4").textContent).toContain("411 M");
    expect(find(el, ".effdl-totals").textContent).toContain("1.81 G");
    press(el, "Self");
    expect(row("layer4").textContent).not.toContain("8.39 M");
  });

  it("folds, sorts and filters", () => {
    const { el, rows, row } = mount();
    expect(rows()).toHaveLength(11);
    find(row("layer4"), "[data-fold]").click();
    expect(rows().map((node) => node.dataset.layer)).toContain("layer4.1");
    expect(row("layer4").getAttribute("aria-expanded")).toBe("true");
    find(el, "[data-sort=label]").click();
    expect(rows()[1]?.dataset.layer).toBe("avgpool");
    expect(find(el, "th").getAttribute("aria-sort")).toBe("ascending");
    const filter = find<HTMLInputElement>(el, "input[aria-label='Filter layers']");
    filter.value = "downsample.0";
    filter.dispatchEvent(new Event("input"));
    expect(rows().filter((node) => !node.classList.contains("effdl-dim"))).toHaveLength(3);
  });

  it("selects by click, with ctrl and shift, and by keyboard", () => {
    const { heard, row, grid } = mount();
    row("layer4").click();
    expect(heard.selections.at(-1)).toEqual(["layer4"]);
    row("layer2").dispatchEvent(new MouseEvent("click", { bubbles: true, ctrlKey: true }));
    expect(heard.selections.at(-1)).toEqual(["layer4", "layer2"]);
    row("fc").dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
    expect(heard.selections.at(-1)).toEqual(["layer2", "fc"]);
    expect(row("fc").getAttribute("aria-selected")).toBe("true");
    key(grid, "Home");
    key(grid, "ArrowDown");
    key(grid, "Enter");
    expect(heard.selections.at(-1)).toEqual(["layer4"]);
    key(grid, "ArrowRight");
    expect(row("layer4").getAttribute("aria-expanded")).toBe("true");
    key(grid, "Escape");
    expect(heard.selections.at(-1)).toEqual([]);
  });

  it("shows a selection from elsewhere without reporting it back", () => {
    const { view, heard, row } = mount();
    view.select(["layer3"]);
    expect(row("layer3").getAttribute("aria-selected")).toBe("true");
    expect(heard.selections).toEqual([]);
  });

  it("goes to the layer of a peak", () => {
    const { el, row } = mount();
    press(el, "at layer1.0.conv1");
    expect(row("layer1.0.conv1").hasAttribute("data-active")).toBe(true);
  });

  it("asks for suggestions, but not before the model was run", () => {
    const { el, heard } = mount();
    press(el, "Suggest");
    expect(heard.commands).toEqual([{ verb: "suggest", args: { goal: "macs" } }]);
    const partial = mount({ ...layers(), partial: true });
    expect(press(partial.el, "Suggest").disabled).toBe(true);
    expect(partial.heard.commands).toEqual([]);
    expect(partial.row("layer4").textContent).toContain("–");
  });

  it("has a column of times exactly when they were measured", () => {
    const { el, view, row } = mount();
    expect(el.querySelector("[data-sort=latency_s]")).toBeNull();
    expect(find(el, ".effdl-menu").textContent).not.toContain("Latency");
    view.update(timed());
    expect(find(el, ".effdl-menu").textContent).toContain("Latency");
    const cell = find(row("block"), ".effdl-col-latency_s");
    expect(cell.textContent).toBe("800 µs");
    expect(cell.title).toBe("± 40 µs, 12 runs");
    expect(find<HTMLElement>(cell, ".effdl-bar i").style.width).toBe("40.00%");
    expect(find(row("relu"), ".effdl-col-latency_s").textContent).toBe("–");
    press(el, "Self");
    expect(find(row("block"), ".effdl-col-latency_s").textContent).toBe("50.0 µs");
    find(el, "[data-sort=latency_s]").click();
    expect(find(el, "tr[data-layer]:nth-of-type(3)").dataset.layer).toBe("conv1");
    view.update(layers());
    expect(el.querySelector("[data-sort=latency_s]")).toBeNull();
  });

  it("says what is left of the whole time, and when the times spread widely", () => {
    const { el } = mount(timed());
    const foot = find(el, ".effdl-foot");
    expect(foot.textContent).toContain("the residual of 600 µs");
    expect(find(foot, ".effdl-warn + .effdl-warn").textContent).toContain("Latency: the middle half of the runs");
  });

  it("keeps a column switched off when new numbers come", () => {
    const { el, view } = mount(timed());
    const box = [...el.querySelectorAll<HTMLInputElement>(".effdl-menu input")].find((input) =>
      input.closest("label")?.textContent?.includes("Latency"),
    );
    if (!box) throw new Error("no box for the latency");
    box.checked = false;
    box.dispatchEvent(new Event("change"));
    expect(el.querySelector("[data-sort=latency_s]")).toBeNull();
    view.update(layers());
    view.update(timed());
    expect(el.querySelector("[data-sort=latency_s]")).toBeNull();
  });

  it("keeps only the rows on screen in the page", () => {
    const count = 10_000;
    const column = Array.from({ length: count }, (_, index) => index);
    const columns = {
      params: column,
      macs: column,
      saved_bytes: column,
      output_bytes: column,
      elementwise_ops: column,
      moved_bytes: column,
    };
    const names = column.map((index) => (index === 0 ? "" : `layer${index}`));
    const texts = column.map(() => "Linear");
    const payload = {
      ...layers(),
      names,
      labels: names,
      kinds: texts,
      outputs: texts,
      calls: column,
      aliases: column.map(() => []),
      parents: column.map(() => 0),
      own: columns,
      total: columns,
    };
    const { rows, grid } = mount(payload);
    expect(grid.getAttribute("aria-rowcount")).toBe(String(count + 1));
    expect(rows().length).toBeLessThan(60);
    key(grid, "End");
    expect(rows().at(-1)?.dataset.layer).toBe("layer1");
  });

  it("sets names as text", () => {
    const payload = layers();
    payload.labels[1] = payload.names[1] = "<script>alert(1)</script><img src=x>";
    const { el } = mount(payload);
    expect(el.querySelectorAll("script, img")).toHaveLength(0);
    expect(el.textContent).toContain("<script>alert(1)</script>");
  });

  it("keeps what is open when new numbers come", () => {
    const { view, rows, row } = mount();
    find(row("layer4"), "[data-fold]").click();
    const open = rows().length;
    view.update(layers());
    expect(rows()).toHaveLength(open);
  });

  it("keeps keys from Jupyter's shortcuts on whatever has the focus", () => {
    const { grid } = mount();
    grid.focus();
    expect(grid.dataset.lmSuppressShortcuts).toBe("true");
  });

  it("ends with its signal", () => {
    const { el, heard, end, row } = mount();
    end.abort();
    row("layer4").click();
    press(el, "Suggest");
    expect([heard.selections, heard.commands]).toEqual([[], []]);
  });
});
