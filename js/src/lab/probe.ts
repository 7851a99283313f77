/** Looking at a kernel without touching it, and asking effwidgets there to listen. */

import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { JSONObject } from "@lumino/coreutils";
import { PROBES, type Probe, readProbe } from "../core/panel-wire.js";
import { within } from "./timing.js";
import { PATIENCE_MS } from "./tokens.js";

const ATTACH = "__import__('effwidgets.panel', fromlist=['attach']).attach()";

/** Ask which effwidgets is installed and whether torch was imported. Nothing is imported by asking. */
export async function probe(kernel: Kernel.IKernelConnection): Promise<Probe> {
  const reply = await run(kernel, "", { ...PROBES }, "Looking for effwidgets in the kernel");
  const answers: unknown = reply.status === "ok" ? reply.user_expressions : {};
  return readProbe(answers !== null && typeof answers === "object" ? { ...answers } : {});
}

/** Let effwidgets register the panel's comms in the kernel. */
export async function attach(kernel: Kernel.IKernelConnection): Promise<void> {
  const reply = await run(kernel, ATTACH, {}, "Connecting to effwidgets in the kernel");
  if (reply.status === "error")
    throw new Error(`effwidgets could not start in the kernel: ${reply.ename}: ${reply.evalue}`);
}

async function run(
  kernel: Kernel.IKernelConnection,
  code: string,
  expressions: JSONObject,
  what: string,
): Promise<KernelMessage.IExecuteReplyMsg["content"]> {
  const future = kernel.requestExecute({
    code,
    silent: true,
    store_history: false,
    allow_stdin: false,
    stop_on_error: false,
    user_expressions: expressions,
  });
  try {
    return (await within(future.done, PATIENCE_MS, what)).content;
  } finally {
    future.dispose();
  }
}
