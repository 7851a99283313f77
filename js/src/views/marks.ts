/** The little shapes that stand for a family, in rows, legends and charts. */

import { familyOf, outline } from "../core/families.js";
import { html, svg } from "./dom.js";

/** The shape of a family as a picture in running text. */
export function familyMark(name: string): HTMLElement {
  const family = familyOf(name);
  const shape = svg("path", { d: outline(family.shape, 4.2), class: `effdl-mark effdl-fam-${family.id}` });
  const picture = svg("svg", { viewBox: "-7 -7 14 14", width: 13, height: 13, "aria-hidden": "true" }, shape);
  return html("span", { class: "effdl-fam", title: family.title }, picture);
}

/** The sign of a rung, as it stands at the marks of the chart. */
export function rungMark(rung: string): HTMLElement {
  const ring = svg("circle", { class: "effdl-rung", r: 6.6 });
  const shape = svg("path", { d: outline("circle", 3.6), class: "effdl-mark effdl-fam-any" });
  const mark = svg("g", { "data-rung": rung }, ring, shape);
  const picture = svg("svg", { viewBox: "-8 -8 16 16", width: 15, height: 15, "aria-hidden": "true" }, mark);
  return html("span", { class: "effdl-fam" }, picture);
}

/** Pips for the risk, with the word for those who do not see them. */
export function riskPips(risk: number): HTMLElement {
  const words = ["no risk", "low risk", "middle risk", "high risk"];
  const level = Math.max(0, Math.min(3, Math.round(risk)));
  const root = html("span", { class: `effdl-risk effdl-risk-${level}`, role: "img", "aria-label": words[level] ?? "" });
  root.title = words[level] ?? "";
  for (let pip = 1; pip <= 3; pip += 1) root.append(html("i", { class: pip <= level ? "effdl-on" : null }));
  return root;
}
