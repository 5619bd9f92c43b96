// Bundles the page into ../static (or the directory given as the first argument): index.html, app.js, app.css, the
// licences of what is bundled, and runbooks.json, which is what docs/runbooks.md (or the file given as the second
// argument) says of each alert. Run by hatch_build.py; nothing is fetched here.
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const handbook = path.resolve(process.argv[3] ?? path.join(here, "../../../../docs/runbooks.md"));
const out = path.resolve(process.argv[2] ?? path.join(here, "..", "static"));

const bundle = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  legalComments: "none",
  logLevel: "warning",
  target: ["es2022", "chrome111", "firefox115", "safari16.4"],
  write: false,
};

async function bundled(entry) {
  const result = await build({ ...bundle, entryPoints: [entry], format: "iife", outdir: out });
  return result.outputFiles[0].contents;
}

const digest = (contents) => createHash("sha256").update(contents).digest("hex").slice(0, 12);

const [script, style] = await Promise.all([bundled("src/main.ts"), bundled("src/app.css")]);
const page = (await readFile(path.join(here, "index.html"), "utf8"))
  .replace("/static/app.js", `/static/app.js?v=${digest(script)}`)
  .replace("/static/app.css", `/static/app.css?v=${digest(style)}`);
const uplot = JSON.parse(await readFile(path.join(here, "node_modules/uplot/package.json"), "utf8"));
const licence = await readFile(path.join(here, "node_modules/uplot/LICENSE"), "utf8");
const legal = `app.js and app.css contain, besides memMCP's own code (Apache-2.0):\n\nuPlot ${uplot.version}\n\n${licence}`;

// The sections that alerts name: each third-level heading with the paragraphs below it, as text.
const runbooks = {};
for (const part of (await readFile(handbook, "utf8")).split(/^(?=#{1,3} )/m)) {
  const [, name, text] = /^### (\S+)\n([^]*)$/.exec(part) ?? [];
  if (name) runbooks[name] = text.trim().split(/\n{2,}/).map((paragraph) => paragraph.replaceAll("\n", " "));
}

await mkdir(out, { recursive: true });
await Promise.all([
  writeFile(path.join(out, "app.js"), script),
  writeFile(path.join(out, "app.css"), style),
  writeFile(path.join(out, "index.html"), page),
  writeFile(path.join(out, "app.js.LEGAL.txt"), legal),
  writeFile(path.join(out, "runbooks.json"), JSON.stringify(runbooks)),
]);
console.log(`page built: app.js ${script.length} bytes, app.css ${style.length} bytes`);
