/** Commands: first offered to the page, where the JupyterLab extension may take them; else sent by the widget itself. */

import type { Model } from "./host.js";

export const COMMAND_EVENT = "effdl:command";
export const ALIVE_EVENT = "effdl:alive";

export interface CommandDetail {
  origin: string;
  verb: string;
  args: Record<string, unknown>;
  id: string;
}

/** Send a command. With the extension it gets through while a cell runs; without it waits for the cell's end. */
export function sendCommand(
  root: HTMLElement,
  model: Model,
  origin: string,
  verb: string,
  args: Record<string, unknown>,
): void {
  const key = model.get("key"); // so that an answer finds the view that asked
  const signed = typeof key === "string" && key !== "" ? { ...args, key } : args;
  const detail: CommandDetail = { origin, verb, args: signed, id: commandId() };
  const event = new CustomEvent(COMMAND_EVENT, { detail, bubbles: true, composed: true, cancelable: true });
  if (root.dispatchEvent(event)) model.send({ kind: "command", ...detail });
}

/** An id that no other command has: commands that arrive twice are done once. */
function commandId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID is missing where the page is not https
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
