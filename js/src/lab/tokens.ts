/** Names that the parts of the extension share. */

export const PLUGIN = "effwidgets:plugin";
export const PANEL_ID = "effwidgets-panel";

export const COMMANDS = {
  show: "effwidgets:show-panel",
  profile: "effwidgets:profile-selected",
} as const;

export const UP = "effdl.up";
export const DOWN = "effdl.down";

/** How long an answer may take before the panel says that there is none. */
export const PATIENCE_MS = 6000;
