/** Families of techniques: each has a title, a shape and a colour, so that none is told by colour alone. */

export type Shape = "circle" | "square" | "diamond" | "triangle" | "bar" | "cross" | "ring";

export interface Family {
  /** Which colour and shape: also the class `effdl-fam-…` in the style sheet. */
  id: string;
  title: string;
  shape: Shape;
}

const FAMILIES: readonly (Family & { words: readonly string[] })[] = [
  { id: "dense", title: "Dense model", shape: "ring", words: ["dense", "base"] },
  { id: "factorize", title: "Factorize", shape: "circle", words: ["factor", "low_rank", "svd", "low-rank"] },
  { id: "prune", title: "Prune", shape: "square", words: ["prun", "channel"] },
  { id: "bottleneck", title: "Bottleneck", shape: "diamond", words: ["bottleneck", "tucker", "replac"] },
  { id: "drop", title: "Drop blocks", shape: "bar", words: ["drop"] },
  { id: "format", title: "Number format", shape: "triangle", words: ["format", "quant", "half", "bit", "spars"] },
  { id: "mixed", title: "Mixed", shape: "cross", words: ["mixed", "several", "combin"] },
];

/** The family behind a word of a payload; an unknown one keeps its own name and the shape of the last. */
export function familyOf(name: string): Family {
  const word = name.toLowerCase();
  const known = FAMILIES.find((family) => family.words.some((part) => word.includes(part)));
  if (known) return { id: known.id, title: known.title, shape: known.shape };
  return { id: "other", title: /^(other)?$/.test(word) ? "Other" : name, shape: "cross" };
}

/** The outline of a shape around (0, 0), all of about the same area as a circle of radius `size`. */
export function outline(shape: Shape, size: number): string {
  const s = size;
  switch (shape) {
    case "square":
      return `M${-0.89 * s},${-0.89 * s}h${1.78 * s}v${1.78 * s}h${-1.78 * s}Z`;
    case "diamond":
      return `M0,${-1.25 * s}L${1.25 * s},0L0,${1.25 * s}L${-1.25 * s},0Z`;
    case "triangle":
      return `M0,${-1.2 * s}L${1.2 * s},${0.95 * s}H${-1.2 * s}Z`;
    case "bar":
      return `M${-1.4 * s},${-0.55 * s}h${2.8 * s}v${1.1 * s}h${-2.8 * s}Z`;
    case "cross": {
      const a = 1.2 * s;
      const b = 0.42 * s;
      return `M${-b},${-a}H${b}V${-b}H${a}V${b}H${b}V${a}H${-b}V${b}H${-a}V${-b}H${-b}Z`;
    }
    default:
      return `M${s},0A${s},${s} 0 1 1 ${-s},0A${s},${s} 0 1 1 ${s},0Z`;
  }
}
