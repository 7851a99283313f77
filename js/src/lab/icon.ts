/** The icon of the panel: a front, stepping down. */

import { LabIcon } from "@jupyterlab/ui-components";

const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
<g class="jp-icon3" fill="#616161">
<path d="M4 3h2v16h15v2H4z"/>
<path d="M8 16v-4h4V8h4V5h5v2h-3v3h-4v4h-4v2z"/>
<circle cx="18.5" cy="13.5" r="1.6"/><circle cx="14.5" cy="16.5" r="1.6"/>
</g></svg>`;

export const icon = new LabIcon({ name: "effwidgets:front", svgstr });
