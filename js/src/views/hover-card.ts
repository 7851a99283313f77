/** The card that follows the pointer. */

import { hoverCard } from "./card.js";
import { fill, html, memo, show } from "./dom.js";
import { candidateOf, type Scene } from "./scene.js";

const WIDTH = 190; // pixels that the card needs
const GAP = 14;

export class HoverCard {
  readonly root = html("div", { class: "effdl-hover", hidden: true });
  readonly #memo = memo();

  /** Show the looked-at candidate at its place in a chart of some width; the pinned one has a card already. */
  update(scene: Scene, at: { x: number; y: number } | null, width: number): void {
    const candidate = candidateOf(scene.payload, scene.looked);
    const shown = candidate !== undefined && at !== null && scene.looked !== scene.pinned;
    show(this.root, shown);
    if (!shown || !candidate || !at) return;
    this.#memo([candidate, scene.work, scene.payload.dense], () => fill(this.root, ...hoverCard(candidate, scene)));
    const { style } = this.root;
    const left = at.x <= width / 2;
    const high = at.y < 150;
    style.left = left ? `${Math.max(0, Math.min(at.x + GAP, width - WIDTH))}px` : "";
    style.right = left ? "" : `${Math.max(0, Math.min(width - at.x + GAP, width - WIDTH))}px`;
    style.top = high ? `${at.y + GAP}px` : "";
    style.bottom = high ? "" : `calc(100% - ${at.y - GAP}px)`;
  }
}
