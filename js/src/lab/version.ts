/** The version of this extension: the one in `js/package.json`, which Python's has too. */

import manifest from "../../package.json";

export const VERSION: string = manifest.version;
