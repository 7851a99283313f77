import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel } from "@jupyterlab/services";
import { Signal } from "@lumino/signaling";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KernelLink } from "../src/lab/kernel";
import { messageFor } from "../src/lab/messages";
import { VERSION } from "../src/lab/version";

interface Sent {
  kind: string;
  id: string;
}

/** A comm that remembers what was sent, and says what the test lets it say. */
class FakeComm {
  readonly sent: Sent[] = [];
  isDisposed = false;
  onMsg: (message: unknown) => void = () => undefined;
  onClose: () => void = () => undefined;
  opened: () => void = () => undefined;

  open(): void {
    this.opened();
  }

  send(message: Sent): void {
    this.sent.push(message);
  }

  say(data: unknown): void {
    this.onMsg({ content: { data } });
  }

  dispose(): void {
    this.isDisposed = true;
  }
}

/** A kernel and its session, as little of them as the link uses. */
class FakeSession {
  readonly kernelChanged = new Signal<this, unknown>(this);
  readonly statusChanged = new Signal<this, Kernel.Status>(this);
  readonly iopubMessage = new Signal<this, unknown>(this);
  readonly codes: string[] = [];
  readonly comms: Record<string, FakeComm> = {};
  version: string | null = VERSION;
  torch = true;
  silent = false;
  status = "idle";
  connectionStatus = "connected";
  isDisposed = false;
  info = Promise.resolve({ language_info: { name: "python" } });

  get session(): { kernel: FakeSession } {
    return { kernel: this };
  }

  requestExecute({ code }: { code: string }) {
    this.codes.push(code);
    const ok = (text: string) => ({ status: "ok", data: { "text/plain": text } });
    const user_expressions = {
      version: this.version === null ? { status: "error" } : ok(`'${this.version}'`),
      torch: ok(this.torch ? "True" : "False"),
    };
    return { done: Promise.resolve({ content: { status: "ok", user_expressions } }), dispose: () => undefined };
  }

  createComm(target: string): FakeComm {
    const comm = new FakeComm();
    if (target === "effdl.down" && !this.silent)
      comm.opened = () => comm.say({ kind: "hello", protocol: 1, version: VERSION });
    this.comms[target] = comm;
    return comm;
  }

  link(): KernelLink {
    return new KernelLink(this as unknown as ISessionContext);
  }

  get up(): FakeComm {
    return this.comms["effdl.up"] ?? new FakeComm();
  }

  get down(): FakeComm {
    return this.comms["effdl.down"] ?? new FakeComm();
  }

  ran(): void {
    this.iopubMessage.emit({ header: { msg_type: "execute_input" } });
    this.statusChanged.emit("idle");
  }
}

const model = {
  name: "model",
  kind: "Net",
  params: 10,
  param_bytes: 40,
  where: "cpu",
  shape: null,
  guess: null,
  guess_note: "",
};
const settle = (): Promise<void> => vi.advanceTimersByTimeAsync(400).then(() => undefined);

async function ready(fake: FakeSession): Promise<KernelLink> {
  const link = fake.link();
  link.watch(true);
  await settle();
  fake.down.say({ kind: "models", id: fake.up.sent.at(-1)?.id, models: [model] });
  await settle();
  return link;
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("the link to a kernel", () => {
  it("probes, attaches, opens its channels and lists the models", async () => {
    const fake = new FakeSession();
    const link = await ready(fake);
    expect(fake.codes).toEqual(["", expect.stringContaining("attach()")]);
    expect(link.standing).toEqual({ state: "ready" });
    expect(link.models).toEqual([model]);
    expect(fake.down.sent).toEqual([]); // the kernel sends there; we only listen
  });

  it("asks nothing while nobody watches", async () => {
    const fake = new FakeSession();
    fake.link();
    fake.ran();
    await settle();
    expect(fake.codes).toEqual([]);
    const link = await ready(fake);
    const asked = fake.up.sent.length;
    link.watch(false);
    fake.ran();
    await settle();
    expect(fake.up.sent).toHaveLength(asked);
  });

  it("asks again after a cell, and not after its own requests", async () => {
    const fake = new FakeSession();
    await ready(fake);
    const asked = fake.up.sent.length;
    fake.statusChanged.emit("idle");
    await settle();
    expect(fake.up.sent).toHaveLength(asked);
    fake.ran();
    await settle();
    expect(fake.up.sent).toHaveLength(asked + 1);
  });

  it("asks once more when a cell ran while it was asking", async () => {
    const fake = new FakeSession();
    await ready(fake);
    fake.ran();
    await settle();
    const asked = fake.up.sent.length;
    fake.ran();
    await settle();
    expect(fake.up.sent).toHaveLength(asked);
    fake.down.say({ kind: "models", id: fake.up.sent.at(-1)?.id, models: [model] });
    await settle();
    expect(fake.up.sent).toHaveLength(asked + 1);
  });

  it("touches no kernel without torch, without effwidgets, or with another version, and says what to do", async () => {
    for (const [version, torch, state] of [
      [VERSION, false, "no-torch"],
      [null, true, "missing"],
      ["9.9.9", true, "other"],
    ] as const) {
      const fake = new FakeSession();
      Object.assign(fake, { version, torch });
      const link = fake.link();
      link.watch(true);
      await settle();
      expect(link.standing.state).toBe(state);
      expect(fake.codes).toEqual([""]);
      const message = messageFor(link.standing);
      if (state !== "no-torch") expect(message?.line).toBe(`%pip install effwidgets==${VERSION}`);
    }
  });

  it("waits for a busy kernel", async () => {
    const fake = new FakeSession();
    fake.status = "busy";
    const link = fake.link();
    link.watch(true);
    await settle();
    expect([link.standing.state, fake.codes]).toEqual(["busy", []]);
    fake.status = "idle";
    fake.statusChanged.emit("idle");
    await settle();
    expect(fake.codes).toHaveLength(2);
  });

  it("drops an answer to an older question, and gives up on one that never comes", async () => {
    const fake = new FakeSession();
    const link = await ready(fake);
    fake.ran();
    await settle();
    fake.down.say({ kind: "models", id: "an older one", models: [] });
    expect(link.models).toEqual([model]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(link.note).toContain("busy");
    expect(link.models).toEqual([model]);
  });

  it("begins anew when the kernel restarts or is another", async () => {
    const fake = new FakeSession();
    const link = await ready(fake);
    const first = fake.up;
    fake.statusChanged.emit("restarting");
    expect([link.models, first.isDisposed]).toEqual([[], true]);
    expect(link.command({ origin: "o", verb: "cancel", args: {}, id: "1" })).toBe(false);
    fake.statusChanged.emit("idle");
    await settle();
    expect(fake.up).not.toBe(first);
    const second = fake.up;
    fake.kernelChanged.emit({});
    await settle();
    expect(second.isDisposed).toBe(true);
    expect(fake.up).not.toBe(second);
  });

  it("says that a kernel does not answer on its channels", async () => {
    const fake = new FakeSession();
    fake.silent = true;
    const link = fake.link();
    link.watch(true);
    await settle();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(messageFor(link.standing)?.text).toContain("no answer within 6 s");
    expect(fake.up.isDisposed).toBe(true);
  });

  it("sends commands up, and attaches for a live view though nobody watches", async () => {
    const fake = new FakeSession();
    const link = fake.link();
    link.want();
    await settle();
    expect(link.command({ origin: "o", verb: "cancel", args: {}, id: "1" })).toBe(true);
    expect(fake.up.sent).toEqual([{ kind: "command", origin: "o", verb: "cancel", args: {}, id: "1" }]);
  });

  it("shows runs as they are told", async () => {
    const fake = new FakeSession();
    const link = await ready(fake);
    const run = { origin: "o", title: "Net", state: "running", done: 1, planned: 4, message: "" };
    fake.down.say({ kind: "runs", runs: [run] });
    expect(link.runs).toEqual([run]);
    link.dispose();
    expect(fake.up.isDisposed).toBe(true);
  });
});
