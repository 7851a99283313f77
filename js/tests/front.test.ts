import { describe, expect, it } from "vitest";
import { axisChoices, quantity } from "../src/core/axes";
import { frontOf, pointsOf, staircase, stepAlong, summary } from "../src/core/front";
import { linear, logarithmic, niceTicks, padded } from "../src/core/scale";
import { pareto } from "./fake";

describe("scales", () => {
  it("put values where they belong, and back", () => {
    for (const scale of [linear([0, 4], [50, 450], 5), logarithmic([1e3, 1e6], [0, 300])]) {
      for (const value of [1000, 2]) expect(scale.from(scale.at(value))).toBeCloseTo(value, 6);
    }
    expect(linear([0, 4], [50, 450], 5).at(1)).toBe(150);
    expect(logarithmic([1e3, 1e6], [0, 300]).at(1e4)).toBeCloseTo(100, 9);
  });

  it("have round ticks inside their ends", () => {
    expect(niceTicks(0, 4, 4)).toEqual([0, 1, 2, 3, 4]);
    expect(niceTicks(0.926, 0.999, 6)).toEqual([0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99]);
    expect(logarithmic([1e3, 1e6], [0, 1]).ticks).toEqual([1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6]);
    expect(logarithmic([3e6, 8e6], [0, 1]).ticks).toEqual([3e6, 4e6, 5e6, 6e6, 7e6, 8e6]);
  });

  it("have a width also for one value and for none", () => {
    expect(padded([5], 0.1)).toEqual([4.75, 5.25]);
    expect(padded([], 0.1)).toEqual([0, 1]);
    expect(Number.isFinite(linear([7, 7], [0, 100], 4).at(7))).toBe(true);
  });
});

describe("the front", () => {
  const payload = pareto();
  const flops = quantity("macs", "flops");
  const points = pointsOf(payload, flops);

  it("shows work in FLOPs, twice the MACs", () => {
    expect(points[0]?.x).toBe(3.63e9);
    expect(
      axisChoices(payload.axes, "flops")
        .map((choice) => choice.id)
        .slice(0, 3),
    ).toEqual(["flops", "macs", "params"]);
  });

  it("is the one that Python named, from cheap to dear", () => {
    expect(frontOf(points).map((point) => point.candidate.number)).toEqual(payload.fronts.macs);
  });

  it("is a staircase: along a score to the next cost, then over to its score", () => {
    expect(
      staircase([
        { x: 1, y: 10 },
        { x: 3, y: 20 },
        { x: 4, y: 25 },
      ]),
    ).toEqual([
      [1, 10],
      [3, 10],
      [3, 20],
      [4, 20],
      [4, 25],
    ]);
    expect(staircase([])).toEqual([]);
  });

  it("is walked step by step, from the knee, to its ends", () => {
    const front = frontOf(points);
    expect(stepAlong(front, null, 1, 11)).toBe(11);
    expect(stepAlong(front, 11, -1, 11)).toBe(13);
    expect(stepAlong(front, 0, 1, 11)).toBe(0);
    expect(stepAlong([], null, 1, null)).toBeNull();
  });

  it("is said in words", () => {
    const text = summary(payload, flops, points, true);
    expect(text).toContain("23 candidates, 9 on the front");
    expect(text).toContain("The dense model has 3.63 G at 99.3%");
    expect(summary({ ...payload, candidates: [] }, flops, [], true)).toContain("no candidate has a score yet");
  });
});
