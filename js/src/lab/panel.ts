/** The left panel: the models of the active notebook's kernel, and what is running there. Hidden, it asks nothing. */

import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { UUID } from "@lumino/coreutils";
import type { Message } from "@lumino/messaging";
import { Panel, Widget } from "@lumino/widgets";
import type { ModelRow, RunRow } from "../core/panel-wire.js";
import { icon } from "./icon.js";
import type { KernelLink } from "./kernel.js";
import type { Links } from "./links.js";
import { messageBlock, modelItem, runItem } from "./lists.js";
import { messageFor } from "./messages.js";
import { ModelView } from "./model-view.js";
import { PANEL_ID } from "./tokens.js";

export class EfficiencyPanel extends Panel {
  readonly #links: Links;
  readonly #tracker: INotebookTracker;
  readonly #body = document.createElement("div");
  readonly #place = document.createElement("span");
  #notebook: NotebookPanel | null = null;
  #link: KernelLink | null = null;
  #view: ModelView | null = null;
  #chosen: string | null = null;
  #shown = "";
  #timer: ReturnType<typeof setInterval> | undefined;
  #seconds = 0;

  constructor(tracker: INotebookTracker, links: Links) {
    super();
    this.id = PANEL_ID;
    this.addClass("effdl-panel");
    this.title.icon = icon;
    this.title.caption = "Efficiency";
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", "Efficiency");
    this.node.dataset.lmSuppressShortcuts = "true";
    this.#tracker = tracker;
    this.#links = links;
    this.addWidget(new Widget({ node: this.#head() }));
    this.#body.className = "effdl-panel-body";
    this.addWidget(new Widget({ node: this.#body }));
    tracker.currentChanged.connect(this.#follow, this);
    this.#follow();
  }

  /** The notebook that the panel shows. */
  get notebook(): NotebookPanel | null {
    return this.#notebook;
  }

  /** Ask again every so many seconds while the panel is visible; 0 asks only after cells. */
  set refreshSeconds(seconds: number) {
    this.#seconds = seconds;
    this.#tick();
  }

  /** Profile the model that is open in the panel, or the first of the list. */
  profileChosen(): void {
    const model = this.#link?.models.find((known) => known.name === this.#chosen) ?? this.#link?.models[0];
    if (!model) return;
    if (this.#view?.name === model.name) this.#view.measure();
    else this.#openModel(model, model.shape ?? model.guess);
  }

  override dispose(): void {
    clearInterval(this.#timer);
    this.#link?.changed.disconnect(this.#draw, this);
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.#follow();
    this.#watch();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.#watch();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.#watch();
  }

  #head(): HTMLElement {
    const head = document.createElement("div");
    head.className = "effdl-panel-head";
    const title = document.createElement("h2");
    title.textContent = "Efficiency";
    this.#place.className = "effdl-panel-soft";
    const again = document.createElement("button");
    again.type = "button";
    again.className = "effdl-panel-button";
    again.textContent = "Refresh";
    again.addEventListener("click", () => void this.#link?.refresh());
    head.append(title, this.#place, again);
    return head;
  }

  #watch(): void {
    this.#link?.watch(this.isVisible);
    this.#tick();
  }

  #tick(): void {
    clearInterval(this.#timer);
    if (this.isVisible && this.#seconds > 0) {
      this.#timer = setInterval(() => void this.#link?.refresh(), 1000 * this.#seconds);
    }
  }

  #follow(): void {
    const notebook = this.#tracker.currentWidget;
    if (notebook !== this.#notebook) {
      this.#link?.watch(false);
      this.#link?.changed.disconnect(this.#draw, this);
      this.#close();
      this.#notebook = notebook;
      this.#link = notebook ? this.#links.of(notebook) : null;
      this.#link?.changed.connect(this.#draw, this);
      this.#link?.watch(this.isVisible);
    }
    this.#draw();
  }

  #draw(): void {
    this.#place.textContent = this.#notebook?.title.label ?? "";
    const link = this.#link;
    const standing = link?.standing ?? { state: "none" as const };
    const models = link?.models ?? [];
    const runs = link?.runs ?? [];
    if (this.#view && standing.state !== "ready" && standing.state !== "busy") this.#close();
    const shown = JSON.stringify([standing, models, runs, link?.note, this.#chosen]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const held = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.model : undefined;
    this.#body.replaceChildren(...this.#parts(messageFor(standing), models, runs, link?.note ?? ""));
    if (held !== undefined) this.#body.querySelector<HTMLElement>(`[data-model="${CSS.escape(held)}"]`)?.focus();
  }

  #parts(
    message: ReturnType<typeof messageFor>,
    models: readonly ModelRow[],
    runs: readonly RunRow[],
    note: string,
  ): Node[] {
    const parts: Node[] = [];
    if (message) parts.push(messageBlock(message));
    else if (models.length === 0) {
      parts.push(
        messageBlock({ text: "No model in this kernel yet. Run a cell that makes one, for example model = Net()." }),
      );
    }
    if (models.length > 0) {
      const items = models.map((model) => modelItem(model, model.name === this.#chosen, () => this.#press(model)));
      parts.push(list("Models", items));
    }
    if (runs.length > 0)
      parts.push(
        list(
          "Runs",
          runs.map((run) => runItem(run, () => this.#cancel(run))),
        ),
      );
    if (note) parts.push(messageBlock({ text: note }));
    return parts;
  }

  #press(model: ModelRow): void {
    if (this.#chosen === model.name) this.#close();
    else this.#openModel(model, model.shape);
    this.#draw();
  }

  #openModel(model: ModelRow, shape: string | null): void {
    const notebook = this.#notebook;
    if (!notebook) return;
    this.#close();
    this.#chosen = model.name;
    this.#view = new ModelView(notebook, model);
    this.addWidget(this.#view);
    this.#view.open(shape);
    this.#draw();
  }

  #close(): void {
    this.#view?.dispose();
    this.#view = null;
    this.#chosen = null;
  }

  #cancel(run: RunRow): void {
    this.#link?.command({ origin: run.origin, verb: "cancel", args: {}, id: UUID.uuid4() });
  }
}

function list(title: string, items: readonly HTMLElement[]): HTMLElement {
  const section = document.createElement("section");
  const head = document.createElement("h3");
  head.textContent = title;
  const body = document.createElement("ul");
  body.setAttribute("aria-label", title);
  body.append(...items);
  section.append(head, body);
  return section;
}
