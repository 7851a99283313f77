import { beforeEach, describe, expect, it } from "vitest";
import widget from "../src/widgets/index";
import { FakeModel, find, goldens, layers, pareto, place, press, suggestions } from "./fake";

const frame = (): Promise<void> => new Promise((done) => requestAnimationFrame(() => done()));

function render(values: Record<string, unknown>, el = place()) {
  const model = new FakeModel({ selection: [], status: {}, ...values });
  const end = widget().render({ model, el });
  return { model, el, end };
}

beforeEach(() => {
  document.body.replaceChildren();
  document.head.replaceChildren();
});

describe("the widget", () => {
  it("draws the view that the payload names, and every one that Python wrote", () => {
    for (const payload of [layers(), suggestions(), pareto(), ...goldens().map(([, payload]) => payload)]) {
      const { el, end } = render({ payload });
      expect(find(el, ".effdl-view").dataset.view).toBe(payload.view);
      expect(el.querySelectorAll("script")).toHaveLength(0);
      end();
    }
  });

  it("draws new payloads once a frame", async () => {
    const { model, el } = render({ payload: pareto() });
    for (let done = 30; done < 40; done += 1) model.receive("payload", { ...pareto(), done });
    expect(find(el, ".effdl-head").textContent).toContain("25 of 60");
    await frame();
    expect(find(el, ".effdl-head").textContent).toContain("39 of 60");
  });

  it("says what is wrong with a payload instead of drawing it", () => {
    const { el } = render({ payload: { ...layers(), names: 3 } });
    expect(find(el, "[role=status]").textContent).toContain('"names"');
  });

  it("hands selections to the model, and shows those of Python", () => {
    const { model, el } = render({ payload: layers(), selection: ["layer3"] });
    expect(find(el, "tr[data-layer=layer3]").getAttribute("aria-selected")).toBe("true");
    find(el, "tr[data-layer=layer4]").click();
    expect(model.get("selection")).toEqual(["layer4"]);
    model.receive("selection", ["layer2"]);
    expect(find(el, "tr[data-layer=layer2]").getAttribute("aria-selected")).toBe("true");
  });

  it("offers a command to the page first and sends it only when nobody took it", () => {
    const { model, el } = render({ payload: pareto() });
    const seen: unknown[] = [];
    const take = (event: Event): void => {
      if (event instanceof CustomEvent) seen.push(event.detail);
      event.preventDefault();
    };
    document.addEventListener("effdl:command", take);
    press(el, "Cancel");
    expect(seen).toMatchObject([{ origin: "ResNet-1", verb: "cancel", args: {} }]);
    expect(model.sent).toEqual([]);
    document.removeEventListener("effdl:command", take);
    press(el, "Pause");
    expect(model.sent).toMatchObject([{ kind: "command", origin: "ResNet-1", verb: "pause" }]);
  });

  it("hides its static twin while it lives, never the result of a finished search", () => {
    const { end } = render({ payload: layers() });
    const rule = find(document.head, "style[data-effdl-hides]").textContent;
    expect(rule).toContain('[data-effdl-origin="ResNet-1"][data-effdl-view="layers"]');
    expect(rule).toContain(":not(.effdl-result)");
    end();
    expect(document.head.querySelector("style[data-effdl-hides]")).toBeNull();
  });

  it("is greyed when the kernel is gone, and stays switched off", async () => {
    const { model, el } = render({ payload: suggestions(), selection: [0] });
    model.fire("comm_live_update");
    expect(find(el, ".effdl-banner").textContent).toContain("The kernel is gone.");
    expect(document.head.querySelector("style[data-effdl-hides]")).toBeNull();
    find(el, "input[type=checkbox][data-index='1']").click();
    await frame();
    expect([...el.querySelectorAll("[data-command]")].every((node) => node.hasAttribute("disabled"))).toBe(true);
    press(el, "Apply 2");
    expect(model.sent).toEqual([]);
  });

  it("says so when the session is gone though the kernel lives", () => {
    const { model, el } = render({ payload: layers() });
    model.receive("status", { state: "gone", message: "The model was deleted." });
    expect(find(el, ".effdl-banner").textContent).toBe("The model was deleted.");
  });

  it("ends: no listener stays, and two widgets do not share a state", () => {
    const first = render({ payload: pareto() });
    const second = render({ payload: pareto() });
    find(first.el, "[data-number='11']").dispatchEvent(new MouseEvent("click", { bubbles: true }));
    expect(second.model.get("selection")).toEqual([]);
    expect(first.model.listening()).toBeGreaterThan(0);
    first.end();
    expect(first.model.listening()).toBe(0);
    press(first.el, "Cancel");
    expect(first.model.sent).toEqual([]);
  });
});
