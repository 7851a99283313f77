/** One model in the panel: the input that it is run with, and its layer table, which lives in the kernel. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import { OutputAreaModel, SimplifiedOutputArea } from "@jupyterlab/outputarea";
import { Panel, Widget } from "@lumino/widgets";
import { type ModelRow, pythonText } from "../core/panel-wire.js";

const OPEN = "__import__('effwidgets.panel', fromlist=['open_model']).open_model";

export class ModelView extends Panel {
  readonly #notebook: NotebookPanel;
  readonly #output: SimplifiedOutputArea;
  readonly #input = document.createElement("input");
  readonly #state = document.createElement("div");
  readonly #name: string;
  #turn = 0;

  constructor(notebook: NotebookPanel, model: ModelRow) {
    super();
    this.addClass("effdl-panel-model");
    this.#notebook = notebook;
    this.#name = model.name;
    this.#output = new SimplifiedOutputArea({
      model: new OutputAreaModel({ trusted: true }),
      rendermime: notebook.content.rendermime,
      contentFactory: notebook.content.contentFactory,
    });
    this.addWidget(new Widget({ node: this.#form(model) }));
    this.addWidget(this.#output);
  }

  get name(): string {
    return this.#name;
  }

  /** Ask the kernel for the table; null asks for the parameters alone. */
  open(shape: string | null): void {
    const kernel = this.#notebook.sessionContext.session?.kernel;
    if (!kernel) {
      this.#say("There is no kernel.");
      return;
    }
    const code = `${OPEN}(${pythonText(this.#name)}, ${pythonText(shape)})`;
    const future = kernel.requestExecute({ code, store_history: false, stop_on_error: false, allow_stdin: false });
    this.#turn += 1;
    const turn = this.#turn;
    this.#output.future = future;
    this.#say(kernel.status === "busy" ? "Waiting for the running cell to end…" : "Measuring…");
    future.done.then(
      () => this.#turn === turn && this.#say(""),
      () => this.#turn === turn && this.#say("The kernel ended before it answered."),
    );
  }

  /** Measure with what stands in the field. */
  measure(): void {
    this.open(this.#input.value.trim() || null);
  }

  #say(text: string): void {
    this.#state.textContent = text;
    this.#state.hidden = text === "";
  }

  #form(model: ModelRow): HTMLElement {
    const form = document.createElement("form");
    form.className = "effdl-panel-form";
    const label = document.createElement("label");
    const caption = document.createElement("span");
    caption.textContent = "Input shape";
    this.#input.value = model.shape ?? model.guess ?? "";
    this.#input.placeholder = "1, 3, 224, 224";
    this.#input.spellcheck = false;
    label.append(caption, this.#input);
    const go = document.createElement("button");
    go.type = "submit";
    go.className = "effdl-panel-button";
    go.textContent = "Profile";
    const note = document.createElement("p");
    note.className = "effdl-panel-soft";
    note.textContent = model.shape === null ? model.guess_note : "The input of the call seen last.";
    note.hidden = note.textContent === "";
    this.#state.className = "effdl-panel-soft";
    this.#state.setAttribute("role", "status");
    form.append(label, go, note, this.#state);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.measure();
    });
    return form;
  }
}
