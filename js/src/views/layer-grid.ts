/** The table of layers: only the rows on screen are in the page, whatever the model's size. */

import { type Row, type Sort, type SortKey, windowOf } from "../core/tree.js";
import type { Column } from "./columns.js";
import { fill, freshId, html, setAll } from "./dom.js";
import { layerRow, type RowContext } from "./layer-row.js";

const ROW = 27; // pixels: the style sheet sets the same height
const BEYOND = 10; // rows drawn beyond both edges

export interface GridEvents {
  sort(key: SortKey): void;
  fold(index: number, open: boolean): void;
  /** A row was pressed, or Enter or Space on the active one. */
  pick(index: number, how: "only" | "toggle" | "range"): void;
  clear(): void;
}

export class LayerGrid {
  readonly root: HTMLElement;
  readonly #events: GridEvents;
  readonly #table: HTMLTableElement;
  readonly #cols = html("colgroup");
  readonly #head = html("tr");
  readonly #body = html("tbody");
  readonly #above = html("tr", { class: "effdl-space", "aria-hidden": "true" });
  readonly #below = html("tr", { class: "effdl-space", "aria-hidden": "true" });
  readonly #empty = html("div", { class: "effdl-empty", hidden: true });
  readonly #id = freshId("row");
  readonly #drawn = new Map<number, HTMLTableRowElement>();
  #rows: readonly Row[] = [];
  #context: RowContext | null = null;
  #selected: ReadonlySet<string> = new Set();
  #active = 0;

  constructor(events: GridEvents, signal: AbortSignal) {
    this.#events = events;
    this.#table = html(
      "table",
      { role: "treegrid", tabindex: "0", "aria-label": "Layers", "aria-multiselectable": "true" },
      this.#cols,
      html("thead", {}, this.#head),
      this.#body,
    );
    this.root = html("div", { class: "effdl-scroll" }, this.#table, this.#empty);
    this.#body.append(this.#above, this.#below);
    this.root.addEventListener("scroll", () => this.#fillWindow(), { signal, passive: true });
    this.#body.addEventListener("click", (event) => this.#press(event), { signal });
    this.#head.addEventListener("click", (event) => this.#sortBy(event), { signal });
    this.#table.addEventListener("keydown", (event) => this.#key(event), { signal });
    const watch = new ResizeObserver(() => this.#fillWindow());
    watch.observe(this.root);
    signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  }

  /** Show rows. The place that is looked at stays where it is. */
  show(rows: readonly Row[], context: RowContext, sort: Sort | null, empty: string): void {
    const active = this.#rows[this.#active]?.index;
    this.#rows = rows;
    this.#context = context;
    const place = rows.findIndex((row) => row.index === active);
    this.#active = Math.max(0, place);
    this.#drawHead(context.columns, sort);
    for (const row of this.#drawn.values()) row.remove();
    this.#drawn.clear();
    setAll(this.#table, { "aria-rowcount": rows.length + 1 });
    this.#empty.toggleAttribute("hidden", rows.length > 0);
    this.#empty.textContent = empty;
    this.#fillWindow();
  }

  /** Mark the selected layers. */
  mark(selected: ReadonlySet<string>): void {
    this.#selected = selected;
    for (const row of this.#drawn.values()) this.#markRow(row);
  }

  /** Make a layer the active row and bring it into view. */
  jump(index: number): void {
    const place = this.#rows.findIndex((row) => row.index === index);
    if (place < 0) return;
    this.#moveTo(place, "center");
    this.#table.focus({ preventScroll: true });
  }

  #drawHead(columns: readonly Column[], sort: Sort | null): void {
    const held = this.#head.contains(document.activeElement) ? document.activeElement?.getAttribute("data-sort") : null;
    fill(
      this.#cols,
      ...columns.map((column) =>
        html("col", { class: `effdl-col-${column.key} effdl-w-${column.measure ? "num" : column.key}` }),
      ),
    );
    const cells = columns.map((column) => {
      const on = sort?.key === column.key;
      const arrow = on ? (sort.descending ? " ▾" : " ▴") : "";
      return html(
        "th",
        {
          scope: "col",
          class: `effdl-col-${column.key}`,
          "aria-sort": on ? (sort.descending ? "descending" : "ascending") : null,
          title: column.hint,
        },
        html(
          "button",
          { type: "button", "data-sort": column.key, "aria-label": `Sort by ${column.title}` },
          ...title(column),
          html("span", { "aria-hidden": "true" }, arrow),
        ),
      );
    });
    fill(this.#head, ...cells);
    if (held) this.#head.querySelector<HTMLElement>(`[data-sort="${held}"]`)?.focus();
  }

  #fillWindow(): void {
    const context = this.#context;
    if (!context) return;
    const view = { top: this.root.scrollTop, height: this.root.clientHeight || 20 * ROW, row: ROW, beyond: BEYOND };
    const { from, to } = windowOf(this.#rows.length, view);
    const wanted = this.#rows.slice(from, to);
    const indices = new Set(wanted.map((row) => row.index));
    for (const [index, node] of this.#drawn) {
      if (indices.has(index)) continue;
      node.remove();
      this.#drawn.delete(index);
    }
    let before: Element = this.#above;
    for (const [offset, row] of wanted.entries()) {
      let node = this.#drawn.get(row.index);
      if (!node) {
        node = layerRow(row, context, `${this.#id}-${row.index}`);
        this.#markRow(node);
        this.#drawn.set(row.index, node);
      }
      node.setAttribute("aria-rowindex", String(from + offset + 2));
      if (before.nextElementSibling !== node) before.after(node);
      before = node;
    }
    this.#above.style.height = `${from * ROW}px`;
    this.#below.style.height = `${(this.#rows.length - to) * ROW}px`;
    this.#showActive();
  }

  #markRow(node: HTMLTableRowElement): void {
    node.setAttribute("aria-selected", String(this.#selected.has(node.dataset.layer ?? "")));
  }

  #showActive(): void {
    const index = this.#rows[this.#active]?.index;
    for (const [key, node] of this.#drawn) node.toggleAttribute("data-active", key === index);
    const drawn = index !== undefined && this.#drawn.has(index);
    setAll(this.#table, { "aria-activedescendant": drawn ? `${this.#id}-${index}` : null });
  }

  #moveTo(place: number, where: "near" | "center" = "near"): void {
    this.#active = Math.max(0, Math.min(this.#rows.length - 1, place));
    const top = this.#active * ROW;
    const head = 30; // the sticky header covers this much
    const height = this.root.clientHeight || 20 * ROW;
    if (where === "center") this.root.scrollTop = Math.max(0, top - (height - head) / 2);
    else if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + ROW + head > this.root.scrollTop + height) this.root.scrollTop = top + ROW + head - height;
    this.#fillWindow();
  }

  #press(event: MouseEvent): void {
    const target = event.target instanceof Element ? event.target : null;
    const fold = target?.closest("[data-fold]");
    const line = target?.closest<HTMLElement>("tr[data-index]");
    if (!line) return;
    const index = Number(line.dataset.index);
    this.#active = this.#rows.findIndex((row) => row.index === index);
    this.#showActive();
    this.#table.focus({ preventScroll: true });
    if (fold) this.#events.fold(index, !(this.#rows[this.#active]?.open ?? false));
    else this.#events.pick(index, event.shiftKey ? "range" : event.ctrlKey || event.metaKey ? "toggle" : "only");
  }

  #sortBy(event: MouseEvent): void {
    const target = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-sort]") : null;
    const column = this.#context?.columns.find((known) => known.key === target?.dataset.sort);
    if (column) this.#events.sort(column.key);
  }

  #key(event: KeyboardEvent): void {
    if (event.target !== this.#table) return;
    const page = Math.max(1, Math.floor((this.root.clientHeight || 20 * ROW) / ROW) - 2);
    const moves: Record<string, number> = {
      ArrowDown: this.#active + 1,
      ArrowUp: this.#active - 1,
      PageDown: this.#active + page,
      PageUp: this.#active - page,
      Home: 0,
      End: this.#rows.length - 1,
    };
    const place = moves[event.key];
    if (place !== undefined) {
      this.#moveTo(place);
      const row = this.#rows[this.#active];
      if (event.shiftKey && row) this.#events.pick(row.index, "range");
    } else if (!this.#act(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Keys that do something with the active row; says whether this was one. */
  #act(event: KeyboardEvent): boolean {
    const row = this.#rows[this.#active];
    if (!row) return false;
    const up = this.#context?.payload.parents[row.index] ?? 0;
    if (event.key === "ArrowRight" && row.parent) {
      if (row.open) this.#moveTo(this.#active + 1);
      else this.#events.fold(row.index, true);
    } else if (event.key === "ArrowLeft") {
      if (row.parent && row.open) this.#events.fold(row.index, false);
      else
        this.#moveTo(
          Math.max(
            0,
            this.#rows.findIndex((other) => other.index === up),
          ),
        );
    } else if (event.key === "Enter" || event.key === " ") {
      this.#events.pick(row.index, event.shiftKey ? "range" : event.ctrlKey || event.metaKey ? "toggle" : "only");
    } else if (event.key === "Escape") this.#events.clear();
    else return false;
    return true;
  }
}

/** The title of a column, with a shorter one for narrow places. */
function title(column: Column): (HTMLElement | string)[] {
  if (column.short === undefined) return [column.title];
  return [html("span", { class: "effdl-long" }, column.title), html("span", { class: "effdl-short" }, column.short)];
}
