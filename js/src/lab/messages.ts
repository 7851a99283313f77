/** What the panel says when there is no list to show: what is the matter, and what to do. */

import type { Standing } from "./kernel.js";
import { VERSION } from "./version.js";

export interface Message {
  text: string;
  /** A line to run, shown as code. */
  line?: string;
}

/** The sentence for a kernel that has no list; null for one that has. */
export function messageFor(standing: Standing): Message | null {
  switch (standing.state) {
    case "ready":
      return null;
    case "none":
      return { text: "No kernel in the active tab. Open a notebook that has a model." };
    case "foreign":
      return { text: "The kernel of this notebook is not a Python kernel." };
    case "asking":
      return { text: "Asking the kernel…" };
    case "busy":
      return { text: "The kernel is busy. Its models are listed when the running cell ends." };
    case "no-torch":
      return { text: "No model yet: PyTorch was not imported in this kernel. Run a cell that makes a model." };
    case "missing":
      return {
        text: "effwidgets is not installed in this kernel. Run this in a cell, then restart the kernel:",
        line: `%pip install effwidgets==${VERSION}`,
      };
    case "other":
      return {
        text: `This kernel has effwidgets ${standing.version}, the panel is ${VERSION}. Run this in a cell, then restart the kernel:`,
        line: `%pip install effwidgets==${VERSION}`,
      };
    case "error":
      return { text: standing.message };
  }
}
