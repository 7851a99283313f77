import { describe, expect, it } from "vitest";
import { readDown, readProbe } from "../src/core/panel-wire";
import { readPayload } from "../src/core/reading";
import { goldens, layers, pareto, suggestions } from "./fake";

function problem(value: unknown): string {
  const reading = readPayload(value);
  return "problem" in reading ? reading.problem : "";
}

describe("payloads", () => {
  it("are taken when they are whole", () => {
    for (const payload of [layers(), suggestions(), pareto()]) expect(problem(payload)).toBe("");
  });

  it("that Python wrote are taken", () => {
    for (const [name, payload] of goldens()) expect(problem(payload), name).toBe("");
  });

  it("are refused with the field at fault", () => {
    expect(problem({ ...layers(), names: "conv1" })).toContain('"names"');
    expect(problem({ ...pareto(), state: "asleep" })).toContain('"state"');
    const { totals: _, ...rest } = suggestions();
    expect(problem(rest)).toContain('"totals"');
    expect(problem({ view: "globe" })).toContain("Known are layers, suggestions, pareto");
    expect(problem({ ...layers(), version: 2 })).toContain("version 2");
    expect(problem(null)).not.toBe("");
  });

  it("of layers are refused when their columns or parents do not fit", () => {
    const payload = layers();
    expect(problem({ ...payload, kinds: payload.kinds.slice(1) })).toContain('"kinds"');
    const times = {
      own_s: [1],
      own_iqr_s: [1],
      total_s: [1],
      total_iqr_s: [null],
      repeats: [3],
      residual_s: null,
      remark: "",
      warning: null,
    };
    expect(problem({ ...payload, times })).toContain('"times own_s" has 1 entries');
    expect(problem({ ...payload, times: { ...times, own_s: ["1"] } })).toContain('"times"');
    expect(problem({ ...payload, parents: payload.parents.map((_, index) => index) })).toContain("before its parent");
  });
});

describe("the panel's messages", () => {
  it("are read, and others are left alone", () => {
    expect(readDown({ kind: "hello", protocol: 1, version: "0.1.0" })).toEqual({
      kind: "hello",
      protocol: 1,
      version: "0.1.0",
    });
    expect(readDown({ kind: "models", id: "1", models: [{ name: "m" }] })).toBeNull();
    expect(readDown({ kind: "runs", runs: [] })).toEqual({ kind: "runs", runs: [] });
    expect(readDown("hello")).toBeNull();
  });

  it("of a probe say what is installed and imported", () => {
    const ok = (text: string) => ({ status: "ok", data: { "text/plain": text } });
    expect(readProbe({ version: ok("'0.1.0'"), torch: ok("True") })).toEqual({ version: "0.1.0", torch: true });
    expect(readProbe({ version: { status: "error" }, torch: ok("False") })).toEqual({ version: null, torch: false });
  });
});
