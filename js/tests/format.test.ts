import { describe, expect, it } from "vitest";
import {
  bytesText,
  changeText,
  countText,
  isShare,
  percentText,
  plural,
  scoreText,
  secondsText,
  shareText,
} from "../src/core/format";
import { format } from "./fake";

const WRITERS: Record<string, (value: number) => string> = {
  count: (value) => countText(value),
  bytes: bytesText,
  seconds: (value) => secondsText(value),
  percent: percentText,
};

describe("format", () => {
  it("writes every number as Python does", () => {
    const { texts } = format();
    expect(new Set(texts.map(([name]) => name))).toEqual(new Set(Object.keys(WRITERS)));
    expect(texts.map(([name, value]) => [name, value, WRITERS[name]?.(value)])).toEqual(texts);
  });

  it("writes counts as units.py does", () => {
    // The examples of effwidgets/units.py, and ties, which Python rounds to the even digit.
    expect([11_689_512, 999, 0, 999_999, 1e15].map((value) => countText(value))).toEqual([
      "11.7 M",
      "999",
      "0",
      "1.00 M",
      "1.00 P",
    ]);
    expect(countText(512, "B")).toBe("512 B");
    expect([100.5, 0.125, 0.375, 2.675].map((value) => countText(value))).toEqual(["100", "0.12", "0.38", "2.67"]);
    expect(countText(Number.NaN)).toBe("–");
    expect(countText(-1_500_000)).toBe("−1.50 M");
  });

  it("writes bytes and durations", () => {
    expect([bytesText(46_758_048), bytesText(12)]).toEqual(["46.8 MB", "12 B"]);
    expect([0.0288, 2.5e-5, 95, 0].map((value) => secondsText(value))).toEqual([
      "28.8 ms",
      "25.0 µs",
      "1 min 35 s",
      "0 s",
    ]);
    expect(secondsText(0.0009, 0.0288)).toBe("0.9 ms");
  });

  it("writes changes with a true minus", () => {
    expect([-0.67, 0.004, 0, -0.0001].map(percentText)).toEqual(["−67%", "+0.4%", "0%", "0%"]);
    expect([shareText(0.0123), shareText(0)]).toEqual(["1.2%", "0%"]);
    expect([changeText(-3_620_000, countText), changeText(12_000, bytesText)]).toEqual(["−3.62 M", "+12.0 kB"]);
  });

  it("writes scores in percent only where the metric is a share", () => {
    expect(isShare("Accuracy", [0.93, 1])).toBe(true);
    expect(isShare("Accuracy", [93, 98])).toBe(false);
    expect(isShare("perplexity", [0.5])).toBe(false);
    expect([scoreText(0.9891, true), scoreText(0.9891, false), scoreText(12.3456, false)]).toEqual([
      "98.9%",
      "0.9891",
      "12.35",
    ]);
  });

  it("counts things", () => {
    expect([plural(1, "layer"), plural(10_000, "layer")]).toEqual(["1 layer", "10,000 layers"]);
  });
});
