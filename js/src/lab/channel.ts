/**
 * The panel's two comms with one kernel. On `effdl.up` only the page sends: a kernel answers a comm from the shell that
 * sent on it last, and a comm it never sent on stays free while a cell runs. What the kernel says comes on `effdl.down`.
 */

import type { Kernel, KernelMessage } from "@jupyterlab/services";
import { type JSONObject, PromiseDelegate } from "@lumino/coreutils";
import { type Down, type ModelRow, PROTOCOL, type RunRow, readDown } from "../core/panel-wire.js";
import { within } from "./timing.js";
import { DOWN, PATIENCE_MS, UP } from "./tokens.js";

export interface ChannelEvents {
  runs(runs: readonly RunRow[]): void;
  error(message: string): void;
  closed(): void;
}

export class Channel {
  readonly #up: Kernel.IComm;
  readonly #down: Kernel.IComm;
  readonly #events: ChannelEvents;
  readonly #greeting = new PromiseDelegate<void>();
  #question: { id: string; answer: PromiseDelegate<ModelRow[]> } | null = null;
  #closed = false;

  constructor(kernel: Kernel.IKernelConnection, events: ChannelEvents) {
    this.#events = events;
    this.#down = kernel.createComm(DOWN);
    this.#down.onMsg = (message) => this.#read(message);
    this.#down.onClose = () => this.#close();
    this.#up = kernel.createComm(UP);
    this.#up.onClose = () => this.#close();
    // Rejections reach those who wait in hello(); one that nobody waits for is no news.
    this.#greeting.promise.catch(() => undefined);
    this.#down.open({ protocol: PROTOCOL });
    this.#up.open({ protocol: PROTOCOL });
  }

  /** Wait for the kernel's greeting. */
  async hello(): Promise<void> {
    await within(this.#greeting.promise, PATIENCE_MS, "Opening the panel's channels");
  }

  /** Ask for the models. An answer to an older question is dropped. */
  async models(id: string): Promise<ModelRow[]> {
    const answer = new PromiseDelegate<ModelRow[]>();
    answer.promise.catch(() => undefined);
    this.#question = { id, answer };
    if (!this.send({ kind: "list", id })) throw new Error("The kernel closed the panel's channel.");
    return within(answer.promise, PATIENCE_MS, "Asking for the models");
  }

  /** Send a message up; says whether the channel is open. */
  send(message: { kind: string; id: string; args?: Record<string, unknown> }): boolean {
    if (this.#closed || this.#up.isDisposed) return false;
    // Arguments come out of an event of ours and are plain; the way through JSON makes sure of it.
    const plain: JSONObject = JSON.parse(JSON.stringify(message));
    this.#up.send(plain);
    return true;
  }

  dispose(): void {
    this.#closed = true;
    const gone = new Error("The panel's channel was closed.");
    this.#greeting.reject(gone);
    this.#question?.answer.reject(gone);
    for (const comm of [this.#up, this.#down]) {
      comm.onClose = () => undefined;
      comm.onMsg = () => undefined;
      if (!comm.isDisposed) comm.dispose();
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.dispose();
    this.#events.closed();
  }

  #read(message: KernelMessage.ICommMsgMsg): void {
    const down: Down | null = readDown(message.content.data);
    if (down === null || this.#closed) return;
    if (down.kind === "hello") {
      if (down.protocol === PROTOCOL) this.#greeting.resolve();
      else this.#greeting.reject(new Error(`The kernel speaks protocol ${down.protocol}, this page ${PROTOCOL}.`));
    } else if (down.kind === "models") {
      if (down.id === this.#question?.id) this.#question.answer.resolve(down.models);
    } else if (down.kind === "runs") this.#events.runs(down.runs);
    else this.#events.error(down.message);
  }
}
