/** What travels on the panel's two comms, and the guards for what comes from the kernel. */

import { type Guard, isNumber, isObject, isText, listOf, maybe, objectOf } from "./guard.js";

export const PROTOCOL = 1;

/** A module that was found in the kernel. */
export interface ModelRow {
  name: string;
  kind: string;
  params: number;
  param_bytes: number;
  where: string;
  /** The call seen last, as a person would type it; null before the first. */
  shape: string | null;
  guess: string | null;
  guess_note: string;
}

/** A search or another long piece of work. */
export interface RunRow {
  origin: string;
  title: string;
  state: string;
  done: number;
  planned: number;
  message: string;
}

export interface CommandMessage {
  kind: "command";
  origin: string;
  verb: string;
  args: Record<string, unknown>;
  id: string;
}

export type Down =
  | { kind: "hello"; protocol: number; version: string }
  | { kind: "models"; id: string; models: ModelRow[] }
  | { kind: "runs"; runs: RunRow[] }
  | { kind: "error"; message: string };

const isModel = objectOf<ModelRow>({
  name: isText,
  kind: isText,
  params: isNumber,
  param_bytes: isNumber,
  where: isText,
  shape: maybe(isText),
  guess: maybe(isText),
  guess_note: isText,
});

const isRun = objectOf<RunRow>({
  origin: isText,
  title: isText,
  state: isText,
  done: isNumber,
  planned: isNumber,
  message: isText,
});

/** Read a message from the kernel; null for one that this page does not know. */
export function readDown(value: unknown): Down | null {
  if (!isObject(value)) return null;
  const { kind } = value;
  if (kind === "hello" && isNumber(value.protocol) && isText(value.version)) {
    return { kind, protocol: value.protocol, version: value.version };
  }
  if (kind === "models" && isText(value.id) && listOf(isModel)(value.models)) {
    return { kind, id: value.id, models: value.models };
  }
  if (kind === "runs" && listOf(isRun)(value.runs)) return { kind, runs: value.runs };
  if (kind === "error" && isText(value.message)) return { kind, message: value.message };
  return null;
}

/** Read the detail of a command event. */
export const isCommandDetail: Guard<Omit<CommandMessage, "kind">> = (value): value is Omit<CommandMessage, "kind"> =>
  isObject(value) && isText(value.origin) && isText(value.verb) && isText(value.id) && isObject(value.args);

/** A text as a Python literal: JSON's strings are Python's too. */
export function pythonText(text: string | null): string {
  return text === null ? "None" : JSON.stringify(text);
}

/** What the probe of a kernel found. */
export interface Probe {
  /** Version of effwidgets there; null when it is not installed. */
  version: string | null;
  /** Whether torch was imported already: the panel never imports it. */
  torch: boolean;
}

export const PROBES = {
  version: "__import__('importlib.metadata', fromlist=['version']).version('effwidgets')",
  torch: "'torch' in __import__('sys').modules",
} as const;

/** Read the answers of the probe's user expressions. */
export function readProbe(answers: Record<string, unknown>): Probe {
  const version = plainText(answers.version);
  return {
    version: version === null ? null : version.replace(/^['"]|['"]$/g, ""),
    torch: plainText(answers.torch) === "True",
  };
}

function plainText(answer: unknown): string | null {
  if (!isObject(answer) || answer.status !== "ok" || !isObject(answer.data)) return null;
  const text = answer.data["text/plain"];
  return isText(text) ? text : null;
}
