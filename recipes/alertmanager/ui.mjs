// Builds the web interface of Alertmanager as upstream's `npm run build` in
// ui/app does, on a machine that holds Node, Elm's compiler and nothing else. It
// is run in the directory ui/app, after the packages of package-lock.json were
// laid out there and those of elm.json in ELM_HOME, and leaves dist there, and in
// the file that its argument names what the bundler says of it.
//
// It stands for upstream's command only as long as that is what it was written
// after, so it first compares what it mirrors and refuses anything else. After an
// upgrade of Alertmanager: read what changed, follow it below, and put the hash
// or the line that this script prints in place of the old one.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

// What vite is told: its plugins compile Elm, and compress what is written with
// gzip and Brotli, leaving the original of no file that the server has a
// compressed one of.
const config = "vite.config.mjs";
const configDigest = "9960c15bcbd15c0121c5a907e82383bf6104f1dfc27f0215db90235def82faca";

// What `npm run build` stands for.
const build = "vite build";

function refuse(message) {
  console.error(`ui.mjs: ${message}`);
  process.exit(1);
}

function compareUpstream() {
  const changed = [];
  const got = createHash("sha256").update(readFileSync(config)).digest("hex");
  if (got !== configDigest) changed.push(`${config} has sha256 ${got}, this recipe mirrors ${configDigest}`);
  const { scripts = {} } = JSON.parse(readFileSync("package.json", "utf8"));
  if (scripts.build !== build) {
    changed.push(`package.json runs ${JSON.stringify(scripts.build)} for build, this recipe mirrors ${JSON.stringify(build)}`);
  }
  // npm runs these around a script of that name, unasked.
  for (const hook of ["prebuild", "postbuild"]) {
    if (hook in scripts) changed.push(`package.json has a script ${hook}, which this recipe does not mirror`);
  }
  if (changed.length > 0) refuse(`upstream changed how the interface is built: ${changed.join("; ")}`);
}

const report = process.argv[2];
if (!report) refuse("its argument is missing: the file for what the bundler says");

compareUpstream();

console.log(`+ ${build}`);
// What vite's command does, in this process, with one plugin more.
const { observer } = await import("./observer.mjs");
const vite = await import(pathToFileURL(createRequire(path.resolve("package.json")).resolve("vite")));
let said;
rmSync("dist", { recursive: true, force: true });
// It looks up the name of a server that is never started, where no names are known.
const server = { host: "127.0.0.1" };
await vite.build({ server, plugins: [observer(".", "dist", (it) => { said = it; })] });
if (!said) refuse("the bundler did not say what it wrote");
// Vite copies these past the bundler.
for (const name of readdirSync("public", { recursive: true })) {
  const from = `public/${name}`;
  if (statSync(from).isFile()) said.files.push({ name: `dist/${name}`, chunk: false, from: [from] });
}
writeFileSync(report, JSON.stringify(said));
