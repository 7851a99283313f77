/** One kernel as the panel sees it: probed, attached, asked over two comms; begun again when it restarts. */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel } from "@jupyterlab/services";
import { UUID } from "@lumino/coreutils";
import { Signal } from "@lumino/signaling";
import type { CommandMessage, ModelRow, RunRow } from "../core/panel-wire.js";
import { Channel } from "./channel.js";
import { attach, probe } from "./probe.js";
import { LateError, settled } from "./timing.js";
import { VERSION } from "./version.js";

/** Where a kernel stands, in the order in which a person would mend it. */
export type Standing =
  | { state: "none" | "foreign" | "asking" | "busy" | "no-torch" | "missing" | "ready" }
  | { state: "other"; version: string }
  | { state: "error"; message: string };

const SETTLE_MS = 300;

export class KernelLink {
  readonly changed = new Signal<this, void>(this);
  readonly #session: ISessionContext;
  readonly #refresh = settled(() => void this.refresh(), SETTLE_MS);
  #channel: Channel | null = null;
  #standing: Standing = { state: "none" };
  #models: readonly ModelRow[] = [];
  #runs: readonly RunRow[] = [];
  #note = "";
  #watched = false;
  #wanted = false;
  #ran = false;
  #turn = 0;
  #working = false;
  #again = false;
  #disposed = false;

  constructor(session: ISessionContext) {
    this.#session = session;
    session.kernelChanged.connect(this.#onKernel, this);
    session.statusChanged.connect(this.#onStatus, this);
    session.iopubMessage.connect(this.#onMessage, this);
  }

  get standing(): Standing {
    return this.#standing;
  }

  get models(): readonly ModelRow[] {
    return this.#models;
  }

  get runs(): readonly RunRow[] {
    return this.#runs;
  }

  /** Something that should be said beside the list: a late answer, an error in the kernel. */
  get note(): string {
    return this.#note;
  }

  get kernel(): Kernel.IKernelConnection | null {
    return this.#session.session?.kernel ?? null;
  }

  /** While nobody watches, nothing is asked. */
  watch(on: boolean): void {
    this.#watched = on;
    if (on && this.kernel && this.#standing.state === "none") this.#stand({ state: "asking" });
    if (on) this.#refresh.ask();
    else this.#refresh.cancel();
  }

  /** Attach once, as soon as the kernel is free: a live view is on the page and may send commands. */
  want(): void {
    this.#wanted = true;
    if (!this.#channel) this.#refresh.ask();
  }

  /** Send a command to the kernel; says whether there was a way. */
  command(message: Omit<CommandMessage, "kind">): boolean {
    return this.#channel?.send({ kind: "command", ...message }) ?? false;
  }

  /** Find out where the kernel stands and ask for its models. */
  async refresh(): Promise<void> {
    if (this.#disposed || !(this.#watched || (this.#wanted && !this.#channel))) return;
    if (this.#working) {
      this.#again = true;
      return;
    }
    const { kernel } = this;
    const turn = this.#turn;
    this.#working = true;
    try {
      const standing = await this.#ask(kernel);
      if (turn === this.#turn) this.#stand(standing);
    } catch (error) {
      if (turn === this.#turn) this.#fail(error);
    } finally {
      this.#working = false;
    }
    if (turn !== this.#turn || this.#again) this.#refresh.ask();
    this.#again = false;
  }

  dispose(): void {
    this.#disposed = true;
    this.#refresh.cancel();
    this.#drop();
    Signal.clearData(this);
  }

  async #ask(kernel: Kernel.IKernelConnection | null): Promise<Standing> {
    if (!kernel || kernel.isDisposed || kernel.status === "dead") return { state: "none" };
    if (this.#channel) {
      this.#models = await this.#channel.models(UUID.uuid4());
      this.#note = "";
      return { state: "ready" };
    }
    if (kernel.connectionStatus !== "connected" || kernel.status !== "idle") return { state: "busy" };
    if ((await kernel.info).language_info.name !== "python") return { state: "foreign" };
    const found = await probe(kernel);
    if (found.version === null) return { state: "missing" };
    if (found.version !== VERSION) return { state: "other", version: found.version };
    if (!found.torch) return { state: "no-torch" };
    await attach(kernel);
    return this.#open(kernel);
  }

  async #open(kernel: Kernel.IKernelConnection): Promise<Standing> {
    const turn = this.#turn;
    const channel = new Channel(kernel, {
      runs: (runs) => {
        this.#runs = runs;
        this.changed.emit();
      },
      error: (message) => {
        this.#note = message;
        this.changed.emit();
      },
      closed: () => this.#forget(channel),
    });
    try {
      await channel.hello();
      if (turn !== this.#turn) {
        channel.dispose();
        return { state: "asking" };
      }
    } catch (error) {
      channel.dispose();
      throw error;
    }
    this.#channel = channel;
    if (this.#watched) this.#models = await channel.models(UUID.uuid4());
    return { state: "ready" };
  }

  #stand(standing: Standing): void {
    this.#standing = standing;
    if (standing.state !== "ready" && standing.state !== "busy") this.#models = [];
    this.changed.emit();
  }

  #fail(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof LateError && this.#channel) {
      this.#note = "The kernel is busy; the list may be old.";
      this.changed.emit();
    } else if (error instanceof LateError && this.kernel?.status === "busy") this.#stand({ state: "busy" });
    else this.#stand({ state: "error", message });
  }

  #forget(channel: Channel): void {
    if (this.#channel !== channel) return;
    this.#drop();
    this.#stand({ state: "none" });
    this.#refresh.ask();
  }

  /** A kernel that ended or was replaced knows none of our comms. */
  #drop(): void {
    this.#turn += 1;
    this.#channel?.dispose();
    this.#channel = null;
    this.#models = [];
    this.#runs = [];
    this.#note = "";
  }

  #onKernel(): void {
    this.#drop();
    this.#stand({ state: this.kernel ? "asking" : "none" });
    this.#refresh.ask();
  }

  #onStatus(_: ISessionContext, status: Kernel.Status): void {
    if (status === "restarting" || status === "autorestarting" || status === "dead") {
      this.#drop();
      this.#stand({ state: status === "dead" ? "none" : "asking" });
      this.#ran = true;
    } else if (status === "idle" && (this.#ran || this.#standing.state === "busy" || this.#standing.state === "none")) {
      // Our own requests make the kernel busy and idle too: only those that ran code count.
      this.#ran = false;
      this.#refresh.ask();
    }
  }

  #onMessage(_: ISessionContext, message: { header: { msg_type: string } }): void {
    if (message.header.msg_type === "execute_input") this.#ran = true;
  }
}
