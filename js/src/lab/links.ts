/** One link a notebook, made when first needed and ended with the notebook; and the way for commands of its views. */

import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { isCommandDetail } from "../core/panel-wire.js";
import { KernelLink } from "./kernel.js";

export class Links {
  readonly #links = new Map<NotebookPanel, KernelLink>();
  readonly #tracker: INotebookTracker;

  constructor(tracker: INotebookTracker) {
    this.#tracker = tracker;
  }

  /** The link of a notebook. */
  of(notebook: NotebookPanel): KernelLink {
    let link = this.#links.get(notebook);
    if (!link) {
      link = new KernelLink(notebook.sessionContext);
      this.#links.set(notebook, link);
      notebook.disposed.connect(() => {
        this.#links.get(notebook)?.dispose();
        this.#links.delete(notebook);
      });
    }
    return link;
  }

  /**
   * Take the commands of live views: they are sent on a channel that stays free while a cell runs.
   * `inside` names the notebook of an element that is in none, as those of the panel are.
   */
  forward(inside: (node: Node) => NotebookPanel | null, signal: AbortSignal): void {
    const link = (event: Event): KernelLink | null => {
      const node = event.composedPath()[0];
      if (!(node instanceof Node)) return null;
      const notebook = this.#tracker.find((panel) => panel.node.contains(node)) ?? inside(node);
      return notebook ? this.of(notebook) : null;
    };
    document.addEventListener(
      "effdl:command",
      (event) => {
        const detail: unknown = event instanceof CustomEvent ? event.detail : null;
        if (!isCommandDetail(detail)) return;
        const found = link(event);
        if (found?.command(detail)) event.preventDefault();
        else found?.want();
      },
      { signal },
    );
    document.addEventListener("effdl:alive", (event) => link(event)?.want(), { signal });
  }
}
