/** The extension's commands. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ICommandPalette } from "@jupyterlab/apputils";
import { icon } from "./icon.js";
import type { EfficiencyPanel } from "./panel.js";
import { COMMANDS, PANEL_ID } from "./tokens.js";

const CATEGORY = "Efficiency";
const NOTHING = { type: "object", properties: {} } as const;

/** Register the commands, and list them in the palette where there is one. */
export function addCommands(app: JupyterFrontEnd, panel: EfficiencyPanel, palette: ICommandPalette | null): void {
  app.commands.addCommand(COMMANDS.show, {
    label: "Efficiency: show panel",
    caption: "Show the models of this kernel and where they spend",
    icon,
    describedBy: { args: NOTHING },
    execute: () => app.shell.activateById(PANEL_ID),
  });
  app.commands.addCommand(COMMANDS.profile, {
    label: "Efficiency: profile selected model",
    caption: "Profile the model that is chosen in the panel",
    describedBy: { args: NOTHING },
    execute: () => {
      app.shell.activateById(PANEL_ID);
      panel.profileChosen();
    },
  });
  for (const command of Object.values(COMMANDS)) palette?.addItem({ command, category: CATEGORY });
}
