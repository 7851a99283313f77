/** The reader's settings, handed to those who follow them. */

import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { EfficiencyPanel } from "./panel.js";
import { PLUGIN } from "./tokens.js";

/** Follow the settings: how often the panel asks, and whether views begin with FLOPs or MACs. */
export async function followSettings(registry: ISettingRegistry, panel: EfficiencyPanel): Promise<void> {
  const settings = await registry.load(PLUGIN);
  const read = (): void => {
    const seconds = settings.get("refreshSeconds").composite;
    panel.refreshSeconds = typeof seconds === "number" ? seconds : 0;
    document.documentElement.dataset.effdlWork = settings.get("work").composite === "macs" ? "macs" : "flops";
  };
  settings.changed.connect(read);
  read();
}
