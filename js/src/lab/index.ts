/** The JupyterLab extension: this file only wires its parts together. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { addCommands } from "./commands.js";
import { Links } from "./links.js";
import { EfficiencyPanel } from "./panel.js";
import { followSettings } from "./settings.js";
import { PANEL_ID, PLUGIN } from "./tokens.js";

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: "A panel that lists the models of a notebook's kernel and shows where they spend.",
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ISettingRegistry, ILayoutRestorer],
  activate: async (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    settings: ISettingRegistry | null,
    restorer: ILayoutRestorer | null,
  ) => {
    const links = new Links(tracker);
    const panel = new EfficiencyPanel(tracker, links);
    const end = new AbortController();
    panel.disposed.connect(() => end.abort());
    links.forward((node) => (panel.node.contains(node) ? panel.notebook : null), end.signal);
    app.shell.add(panel, "left", { rank: 700 });
    restorer?.add(panel, PANEL_ID);
    addCommands(app, panel, palette);
    if (settings) await followSettings(settings, panel);
  },
};

export default plugin;
