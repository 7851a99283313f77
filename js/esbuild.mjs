/** Builds the one bundle of all live views, with its style sheet, into the Python package. */
import { mkdir, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const LIMIT = 150_000; // bytes: every widget carries the whole bundle over the wire
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = here("../effwidgets/static");

await mkdir(outdir, { recursive: true });
await build({
  entryPoints: [
    { in: here("src/widgets/index.ts"), out: "views" },
    { in: here("style/views.css"), out: "views" },
  ],
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
});
for (const name of ["views.js", "views.css"]) {
  const { size } = await stat(`${outdir}/${name}`);
  console.log(`${name} ${(size / 1000).toFixed(1)} kB`);
  if (size > LIMIT) {
    console.error(`${name} has ${size} bytes, more than the ${LIMIT} that a widget may carry.`);
    process.exitCode = 1;
  }
}
