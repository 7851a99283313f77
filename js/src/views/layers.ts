/** The layer table: where a model spends its parameters, work and memory. */

import type { Work } from "../core/axes.js";
import type { Chosen, Drawn, Emit } from "../core/screen.js";
import { ancestorsOf, childrenOf, firstOpen, type Sort, type SortKey, visibleRows } from "../core/tree.js";
import type { LayersPayload } from "../core/wire.js";
import { columnsOf } from "./columns.js";
import { button, checkBox, menu, segmented } from "./controls.js";
import { fill, html, memo, setText, viewRoot } from "./dom.js";
import { LayerGrid } from "./layer-grid.js";
import { footOf } from "./layers-foot.js";
import { totalsStrip } from "./totals.js";
import { preferredWork } from "./work.js";

/** Draw the layer table. */
export function drawLayers(
  el: HTMLElement,
  payload: LayersPayload,
  emit: Emit,
  signal: AbortSignal,
): Drawn<LayersPayload> {
  const view = new LayersView(payload, emit, signal);
  el.replaceChildren(view.root);
  view.update(payload);
  return view;
}

class LayersView implements Drawn<LayersPayload> {
  readonly root: HTMLElement;
  readonly #emit: Emit;
  readonly #signal: AbortSignal;
  readonly #grid: LayerGrid;
  readonly #title = html("h3");
  readonly #inputs = html("span", { class: "effdl-soft" });
  readonly #place = html("span", { class: "effdl-soft effdl-end" });
  readonly #totals = html("div");
  readonly #foot = html("div", { class: "effdl-foot" });
  readonly #menu = html("div", { class: "effdl-menu-body" });
  readonly #said = html("span", { role: "status", class: "effdl-soft" });
  readonly #filter: HTMLInputElement;
  readonly #suggest: HTMLButtonElement;
  readonly #totalsMemo = memo();
  readonly #footMemo = memo();
  #payload: LayersPayload;
  #children: number[][] = [];
  #open = new Set<number>();
  #sort: Sort | null = { key: "params", descending: true };
  #flat = false;
  #scope: "own" | "total" = "total";
  #work: Work = preferredWork();
  #shown = new Set<SortKey>();
  #hidden = new Set<SortKey>();
  #timed = false;
  #selected = new Set<string>();
  #anchor: number | null = null;
  #names = "";

  constructor(payload: LayersPayload, emit: Emit, signal: AbortSignal) {
    this.root = viewRoot("layers", signal);
    this.#payload = payload;
    this.#emit = emit;
    this.#signal = signal;
    this.#grid = new LayerGrid(
      {
        sort: (key) => this.#sortBy(key),
        fold: (index, open) => this.#fold(index, open),
        pick: (index, how) => this.#pick(index, how),
        clear: () => this.#choose(new Set()),
      },
      signal,
    );
    this.#filter = html("input", {
      type: "text",
      class: "effdl-input",
      placeholder: "Filter layers…",
      "aria-label": "Filter layers",
    });
    this.#filter.addEventListener("input", () => this.#drawRows(), { signal });
    const ask = (): void => {
      emit.command("suggest", { goal: "macs" });
      setText(this.#said, "Asked for suggestions.");
    };
    this.#suggest = button("Suggest", { primary: true, command: true }, ask, signal);
    this.root.append(
      html("div", { class: "effdl-head" }, this.#title, this.#inputs, this.#place),
      this.#totals,
      this.#tools(),
      this.#grid.root,
      this.#foot,
    );
  }

  update(payload: LayersPayload): void {
    const names = JSON.stringify([payload.origin, payload.names]);
    this.#payload = payload;
    if (names !== this.#names) {
      this.#names = names;
      this.#children = childrenOf(payload.parents);
      this.#open = firstOpen(this.#children);
      this.#anchor = null;
    }
    const timed = payload.times !== null;
    if (timed !== this.#timed || this.#menu.childElementCount === 0) {
      this.#timed = timed;
      this.#fillMenu();
    }
    setText(this.#title, payload.title);
    setText(this.#inputs, payload.partial ? "parameters only, not run yet" : `input ${payload.inputs}`);
    setText(this.#place, payload.environment);
    setText(this.#said, "");
    this.root.setAttribute("aria-label", `Layers of ${payload.title}`);
    this.root.toggleAttribute("data-partial", payload.partial);
    this.root.toggleAttribute("data-timed", timed);
    this.#suggest.disabled = payload.partial;
    this.#suggest.title = payload.partial ? "Suggestions need one run: open the model with an input." : "";
    this.#drawTotals();
    this.#drawFoot();
    this.#drawRows();
  }

  select(values: readonly Chosen[]): void {
    this.#selected = new Set(values.filter((value): value is string => typeof value === "string"));
    this.#grid.mark(this.#selected);
  }

  #tools(): HTMLElement {
    const signal = this.#signal;
    const work = segmented<Work>(
      "Unit of work",
      [
        { value: "flops", label: "FLOPs", title: "FLOPs: two for each multiply-accumulate" },
        { value: "macs", label: "MACs", title: "Multiply-accumulates; many papers print these as FLOPs" },
      ],
      (value) => {
        this.#work = value;
        this.#drawTotals();
        this.#drawRows();
      },
      signal,
    );
    work.set(this.#work);
    const scope = segmented<"own" | "total">(
      "Count",
      [
        { value: "own", label: "Self", title: "What a layer does itself" },
        { value: "total", label: "With children", title: "With all layers inside" },
      ],
      (value) => {
        this.#scope = value;
        this.#drawRows();
      },
      signal,
    );
    scope.set(this.#scope);
    const shape = segmented<"tree" | "flat">(
      "Order",
      [
        { value: "tree", label: "Tree" },
        { value: "flat", label: "Flat", title: "All layers in one list, sorted together" },
      ],
      (value) => {
        this.#flat = value === "flat";
        this.#drawRows();
      },
      signal,
    );
    shape.set("tree");
    const space = html("span", { class: "effdl-grow" });
    return html(
      "div",
      { class: "effdl-tools" },
      this.#filter,
      work.root,
      scope.root,
      shape.root,
      space,
      this.#said,
      menu("Columns", this.#menu, this.#signal),
      this.#suggest,
    );
  }

  /** Fill the menu anew where times came or went; what was switched stays so. */
  #fillMenu(): void {
    const list: HTMLElement[] = [];
    for (const column of columnsOf(this.#work, this.#timed)) {
      if (column.first && !this.#hidden.has(column.key)) this.#shown.add(column.key);
      if (column.key === "label") continue;
      const title = column.key === "macs" ? "FLOPs / MACs" : column.title;
      const change = (on: boolean): void => {
        if (on) this.#shown.add(column.key);
        else this.#shown.delete(column.key);
        if (on) this.#hidden.delete(column.key);
        else this.#hidden.add(column.key);
        this.#drawRows();
      };
      const box = checkBox(title, change, this.#signal);
      box.input.checked = this.#shown.has(column.key);
      box.root.title = column.hint;
      list.push(box.root);
    }
    fill(this.#menu, ...list);
  }

  #drawTotals(): void {
    const { totals, uncounted, partial, title } = this.#payload;
    this.#totalsMemo([totals, uncounted, partial, title, this.#work], () => {
      fill(
        this.#totals,
        totalsStrip(this.#payload, this.#work, (name) => this.#jump(name)),
      );
    });
  }

  #drawFoot(): void {
    const { names, uncounted, notes, partial, times, zeros } = this.#payload;
    this.#footMemo([names.length, uncounted, notes, partial, times?.warning, times?.remark, zeros], () => {
      fill(this.#foot, ...footOf(this.#payload));
    });
  }

  #drawRows(): void {
    const filter = this.#filter.value.trim();
    const options = { sort: this.#sort, filter, open: this.#open, flat: this.#flat, scope: this.#scope };
    const rows = visibleRows(this.#payload, this.#children, options);
    const columns = columnsOf(this.#work, this.#timed).filter((column) => this.#shown.has(column.key));
    const context = { payload: this.#payload, columns, scope: this.#scope, work: this.#work, flat: this.#flat };
    this.#grid.show(rows, context, this.#sort, filter ? `No layer matches “${filter}”.` : "This model has no layers.");
    this.#grid.mark(this.#selected);
  }

  #sortBy(key: SortKey): void {
    const text = key === "label" || key === "outputs";
    const now = this.#sort;
    if (now?.key !== key) this.#sort = { key, descending: !text };
    else if (now.descending !== text) this.#sort = { key, descending: text };
    else this.#sort = null;
    this.#drawRows();
  }

  #fold(index: number, open: boolean): void {
    if (open) this.#open.add(index);
    else this.#open.delete(index);
    this.#drawRows();
  }

  #pick(index: number, how: "only" | "toggle" | "range"): void {
    const name = this.#payload.names[index] ?? "";
    if (how === "range" && this.#anchor !== null) {
      this.#choose(new Set(this.#between(this.#anchor, index)));
      return;
    }
    this.#anchor = index;
    if (how === "only") {
      const alone = this.#selected.size === 1 && this.#selected.has(name);
      this.#choose(new Set(alone ? [] : [name]));
      return;
    }
    const next = new Set(this.#selected);
    if (!next.delete(name)) next.add(name);
    this.#choose(next);
  }

  /** Names of the rows from one layer to another, as they stand on screen. */
  #between(from: number, to: number): string[] {
    const filter = this.#filter.value.trim();
    const options = { sort: this.#sort, filter, open: this.#open, flat: this.#flat, scope: this.#scope };
    const order = visibleRows(this.#payload, this.#children, options).map((row) => row.index);
    const [a, b] = [order.indexOf(from), order.indexOf(to)].sort((x, y) => x - y);
    return order.slice(Math.max(0, a ?? 0), (b ?? 0) + 1).map((index) => this.#payload.names[index] ?? "");
  }

  #choose(names: Set<string>): void {
    this.#selected = names;
    this.#grid.mark(names);
    this.#emit.select([...names]);
  }

  #jump(name: string): void {
    const index = this.#payload.names.indexOf(name);
    if (index < 0) return;
    for (const above of ancestorsOf(this.#payload.parents, index)) this.#open.add(above);
    this.#filter.value = "";
    this.#drawRows();
    this.#grid.jump(index);
  }
}
