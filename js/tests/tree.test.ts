import { describe, expect, it } from "vitest";
import { ancestorsOf, childrenOf, firstOpen, type TreeOptions, visibleRows, windowOf } from "../src/core/tree";
import { layers } from "./fake";

const payload = layers();
const children = childrenOf(payload.parents);
const base: TreeOptions = { sort: null, filter: "", open: new Set([0]), flat: false, scope: "total" };
const names = (options: Partial<TreeOptions>): (string | undefined)[] =>
  visibleRows(payload, children, { ...base, ...options }).map((row) => payload.names[row.index]);

describe("the tree of layers", () => {
  it("shows what is open, in the order of the model", () => {
    expect(names({}).slice(0, 5)).toEqual(["", "conv1", "bn1", "relu", "maxpool"]);
    expect(names({ open: new Set() })).toEqual([""]);
  });

  it("sorts siblings and keeps children under their parent", () => {
    const layer4 = payload.names.indexOf("layer4");
    const sorted = names({ sort: { key: "params", descending: true }, open: new Set([0, layer4]) });
    expect(sorted.slice(0, 5)).toEqual(["", "layer4", "layer4.1", "layer4.0", "layer3"]);
    expect(names({ sort: { key: "label", descending: false } }).slice(1, 4)).toEqual(["avgpool", "bn1", "conv1"]);
  });

  it("sorts all layers together when it is flat", () => {
    const flat = visibleRows(payload, children, {
      ...base,
      flat: true,
      scope: "own",
      sort: { key: "params", descending: true },
    });
    expect(flat).toHaveLength(payload.names.length - 1);
    const params = flat.map((row) => payload.own.params[row.index] ?? 0);
    expect(params).toEqual([...params].sort((a, b) => b - a));
  });

  it("filters by every word of name and kind, and keeps the way down", () => {
    const rows = visibleRows(payload, children, { ...base, filter: "layer4.1 conv2d" });
    expect(rows.map((row) => payload.names[row.index])).toEqual([
      "",
      "layer4",
      "layer4.1",
      "layer4.1.conv1",
      "layer4.1.conv2",
    ]);
    expect(rows.map((row) => row.dim)).toEqual([true, true, true, false, false]);
    expect(names({ filter: "nothing like it" })).toEqual([]);
  });

  it("knows the way up, and opens small models whole", () => {
    const index = payload.names.indexOf("layer4.1.conv2");
    expect(ancestorsOf(payload.parents, index).map((above) => payload.names[above])).toEqual([
      "",
      "layer4",
      "layer4.1",
    ]);
    expect(firstOpen(children).size).toBe(1);
    expect(firstOpen(childrenOf([-1, 0, 1])).size).toBe(2);
  });

  it("draws a window of a long list, never beyond its ends", () => {
    const view = { top: 27 * 5000, height: 270, row: 27, beyond: 5 };
    expect(windowOf(10_000, view)).toEqual({ from: 4995, to: 5015 });
    expect(windowOf(10_000, { ...view, top: 1e9 })).toEqual({ from: 9980, to: 10_000 });
    expect(windowOf(3, { ...view, top: 0 })).toEqual({ from: 0, to: 3 });
    expect(windowOf(0, view)).toEqual({ from: 0, to: 0 });
  });
});
