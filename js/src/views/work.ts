/** How work is shown at first. */

import type { Work } from "../core/axes.js";

/** The reader's setting, which the JupyterLab extension writes on the document; FLOPs without it. */
export function preferredWork(): Work {
  return document.documentElement.dataset.effdlWork === "macs" ? "macs" : "flops";
}
