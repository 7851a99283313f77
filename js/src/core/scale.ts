/** Scales of a chart: from values to pixels, with round ticks. */

export interface Scale {
  at(value: number): number;
  /** From a pixel back to a value. */
  from(pixel: number): number;
  ticks: readonly number[];
  domain: readonly [number, number];
}

/** Round ticks between two values, about `count` of them: 1, 2 or 5 times a power of ten. */
export function niceTicks(low: number, high: number, count: number): number[] {
  const span = high - low;
  if (!(span > 0) || count < 1) return [low];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const excess = rough / power;
  const step = power * (excess >= 7.07 ? 10 : excess >= 3.16 ? 5 : excess >= 1.41 ? 2 : 1); // nearest on a log scale
  const ticks: number[] = [];
  const slack = step * 1e-9;
  for (let index = Math.ceil((low - slack) / step); index * step <= high + slack; index += 1) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** A linear scale from `domain` to `range`. A domain without width is widened. */
export function linear(domain: readonly [number, number], range: readonly [number, number], count: number): Scale {
  const [low, high] = widened(domain);
  const slope = (range[1] - range[0]) / (high - low);
  return {
    at: (value) => range[0] + (value - low) * slope,
    from: (pixel) => low + (pixel - range[0]) / slope,
    ticks: niceTicks(low, high, count),
    domain: [low, high],
  };
}

/** A logarithmic scale; both ends of the domain must be above 0. */
export function logarithmic(domain: readonly [number, number], range: readonly [number, number]): Scale {
  const low = Math.log10(domain[0]);
  const high = Math.log10(domain[1] > domain[0] ? domain[1] : domain[0] * 10);
  const slope = (range[1] - range[0]) / (high - low);
  return {
    at: (value) => range[0] + (Math.log10(Math.max(value, Number.MIN_VALUE)) - low) * slope,
    from: (pixel) => 10 ** (low + (pixel - range[0]) / slope),
    ticks: logTicks(low, high),
    domain: [10 ** low, 10 ** high],
  };
}

/** Ticks between two powers of ten: decades and their parts; round numbers where there is less than one decade. */
function logTicks(low: number, high: number): number[] {
  const decades = high - low;
  if (decades < 1) return niceTicks(10 ** low, 10 ** high, 5);
  const factors = decades > 4 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const factor of factors) {
      const place = Math.log10(factor) + power;
      if (place >= low - 1e-9 && place <= high + 1e-9) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
    }
  }
  return ticks;
}

/** The ends of some values with a margin on both sides, as a share of their span. */
export function padded(values: readonly number[], margin: number): [number, number] {
  if (values.length === 0) return [0, 1];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pad = (high - low) * margin;
  return widened([low - pad, high + pad]);
}

function widened([low, high]: readonly [number, number]): [number, number] {
  if (high > low) return [low, high];
  const half = Math.abs(low) * 0.05 || 0.5;
  return [low - half, low + half];
}
