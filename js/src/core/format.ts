/** Counts, bytes and seconds as people read them: the twin of `effwidgets/units.py`. */

const PREFIXES: readonly (readonly [number, string])[] = [
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];
const SECONDS: readonly (readonly [number, string])[] = [
  [1, "s"],
  [1e-3, "ms"],
  [1e-6, "µs"],
  [1e-9, "ns"],
];
const MINUS = "\u2212";
const ABSENT = "–";

/** Write with a fixed number of digits; ties go to the even digit, as Python does it. */
function fixed(value: number, digits: number): string {
  // A tie is a dyadic number: value · 2^(digits + 1) is whole exactly then, whatever the product with 10^digits rounds to.
  const scaled = Math.abs(value) * 10 ** digits;
  const tie = Number.isInteger(value * 2 ** (digits + 1)) && scaled - Math.floor(scaled) === 0.5;
  if (!tie) return value.toFixed(digits);
  const even = Math.floor(scaled) % 2 === 0 ? Math.floor(scaled) : Math.ceil(scaled);
  return ((Math.sign(value) * even) / 10 ** digits).toFixed(digits);
}

function three(value: number): string {
  const size = Math.abs(value);
  return fixed(value, size < 10 ? 2 : size < 100 ? 1 : 0);
}

function signed(text: string): string {
  return text.startsWith("-") ? MINUS + text.slice(1) : text;
}

/** Write a count with a decimal prefix: 11689512 is "11.7 M". */
export function countText(value: number, unit = ""): string {
  if (!Number.isFinite(value)) return ABSENT;
  for (const [scale, prefix] of PREFIXES) {
    if (Math.abs(value) >= scale * 0.9995) return signed(`${three(value / scale)} ${prefix}${unit}`);
  }
  const plain = Number.isInteger(value) ? String(value) : three(value);
  return signed(`${plain} ${unit}`.trim());
}

/** Write a number of bytes, decimal prefixes: 46758048 is "46.8 MB". */
export function bytesText(value: number): string {
  return countText(value, "B");
}

/** Write a duration; minutes from 90 s on. With `like`, in the unit of that other duration. */
export function secondsText(value: number, like?: number): string {
  if (!Number.isFinite(value)) return ABSENT;
  if (like !== undefined && like > 0 && like < 90) {
    const [scale, unit] = SECONDS.find(([size]) => like >= size * 0.9995) ?? [1e-9, "ns"];
    return signed(`${fixed(value / scale, value / scale < 10 ? 1 : 0)} ${unit}`);
  }
  if (value === 0) return "0 s";
  if (value >= 90) {
    const whole = Number(fixed(value, 0));
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  for (const [scale, unit] of SECONDS) {
    if (Math.abs(value) >= scale * 0.9995) return signed(`${three(value / scale)} ${unit}`);
  }
  return signed(`${three(value / 1e-9)} ns`);
}

/** Write a signed change as a percentage with a true minus sign. */
export function percentText(fraction: number): string {
  const percent = 100 * fraction;
  if (!Number.isFinite(percent)) return ABSENT;
  const text = fixed(Math.abs(percent), Math.abs(percent) >= 10 || percent === 0 ? 0 : 1);
  if (Number(text) === 0) return "0%";
  return `${percent < 0 ? MINUS : "+"}${text}%`;
}

/** Write a share without a sign: 0.0123 is "1.2%". */
export function shareText(fraction: number): string {
  return percentText(Math.abs(fraction)).replace("+", "");
}

/** Write a signed change of a quantity, with a plus where it grew. */
export function changeText(value: number, write: (value: number) => string): string {
  const text = write(value);
  return value > 0 ? `+${text}` : text;
}

/** Write a quantity that may not have been measured. */
export function maybeText(value: number | null | undefined, write: (value: number) => string): string {
  return value === null || value === undefined ? ABSENT : write(value);
}

/** Write a score: four significant digits, or a percentage where the metric is a share. */
export function scoreText(value: number, percent: boolean): string {
  if (!Number.isFinite(value)) return ABSENT;
  if (percent) return signed(`${fixed(100 * value, 1)}%`);
  const size = Math.abs(value);
  if (size >= 1e4) return countText(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 || size === 0 ? 3 : 4;
  return signed(fixed(value, digits));
}

/** Say whether a metric is a share that people read in percent: named so, and all values between 0 and 1. */
export function isShare(metric: string, values: readonly number[]): boolean {
  return /acc|f1|auc|precision|recall|iou|map|top/i.test(metric) && values.every((value) => value >= 0 && value <= 1);
}

/** Write a number of things: "1 layer", "62 layers". */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en-US")} ${count === 1 ? one : many}`;
}
