/** What is said between a command and its answer: a kernel that runs a cell may take its time. */

import { setText } from "./dom.js";

const PATIENCE_MS = 2500;

export interface Waiting {
  /** A command went out. */
  start(text: string): void;
  /** An answer came. */
  stop(): void;
}

/** Say that a command is under way in `node`, and after a while why it may take longer. */
export function waiting(node: HTMLElement, signal: AbortSignal): Waiting {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = (): void => {
    clearTimeout(timer);
    setText(node, "");
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return {
    start(text) {
      clearTimeout(timer);
      setText(node, text);
      timer = setTimeout(
        () => setText(node, `${text} The kernel is busy and will answer after its cell.`),
        PATIENCE_MS,
      );
    },
    stop,
  };
}
