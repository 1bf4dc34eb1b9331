// Builds the web interface of Prometheus as upstream's
// `web/ui/build_ui.sh --mantine-ui` does, on a machine that holds Node and
// nothing else: no shell, no sed, no pnpm. It is run in the directory web/ui,
// after the packages of pnpm-lock.yaml were installed, and leaves
// static/mantine-ui there, and in the file that its argument names what the
// bundler says of it. Each step prints the upstream line it stands for.
//
// It stands for those lines only as long as they are what it was written
// after, so it first compares the scripts it mirrors and refuses others. After
// an upgrade of Prometheus: read what changed, follow it below, and put the
// hash or the line that this script prints in place of the old one.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const lezer = "module/lezer-promql";
const codemirror = "module/codemirror-promql";
const mantine = "mantine-ui";

// The SHA-256 of every upstream script that is mirrored whole.
const scripts = {
  "build_ui.sh": "9f9016d81c4773913630dbd856c8227c02000f478455b0e0a7bd4f57ea73c888",
  [`${lezer}/build.sh`]: "c112f60627652068fef9dc2055fd02cf73d516a6a6a1fb1ddc8496eaee2d3fb1",
  // Only what begins with "." or "/" is bundled into dist: this package's own.
  [`${lezer}/rollup.config.js`]: "2f4431f8f559b184598ce647014e467715de0d2d056af8a88496805ece3d70b1",
  [`${lezer}/generate-types.sh`]: "116315d993d3e4aa6b71f4ecb4166d9a5a279bbe12dc47df045061b955361b22",
  [`${codemirror}/build.sh`]: "cfcf191c0ccff116f7ab2ef85875a618fbe60f853a0f5df294b41cec8c03adb6",
  // What follows this script and is done by the caller.
  "../../scripts/compress_assets.sh": "a95be69cf750b8cf1569d7785c5083debf9f09783698fe5d6b80987b3a861755",
};

// What `pnpm run build` stands for in each package, by its package.json.
const lines = {
  ".": { "build:mantine-ui": "bash build_ui.sh --mantine-ui" },
  [lezer]: { build: "bash ./build.sh" },
  [codemirror]: { build: "pnpm run build:lib", "build:lib": "bash ./build.sh" },
  [mantine]: { build: "tsc && vite build" },
};

function refuse(message) {
  console.error(`ui.mjs: ${message}`);
  process.exit(1);
}

function readJSON(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

function compareUpstream() {
  const changed = [];
  for (const [file, want] of Object.entries(scripts)) {
    const got = createHash("sha256").update(readFileSync(file)).digest("hex");
    if (got !== want) changed.push(`${file} has sha256 ${got}, this recipe mirrors ${want}`);
  }
  for (const [dir, known] of Object.entries(lines)) {
    const has = readJSON(path.join(dir, "package.json")).scripts ?? {};
    for (const [name, want] of Object.entries(known)) {
      if (has[name] !== want) {
        changed.push(`${dir}/package.json runs ${JSON.stringify(has[name])} for ${name}, this recipe mirrors ${JSON.stringify(want)}`);
      }
      // pnpm runs these around a script of that name, unasked.
      for (const hook of [`pre${name}`, `post${name}`]) {
        if (hook in has) changed.push(`${dir}/package.json has a script ${hook}, which this recipe does not mirror`);
      }
    }
  }
  if (changed.length > 0) refuse(`upstream changed how the interface is built: ${changed.join("; ")}`);
}

// tool is the program that package dep, as it is installed for the package in
// dir, calls name. pnpm puts a package's own programs before the workspace's,
// and dir says whose is meant.
function tool(dir, dep, name) {
  const home = path.join(dir, "node_modules", dep);
  const { bin } = readJSON(path.join(home, "package.json"));
  const file = typeof bin === "string" ? bin : bin?.[name];
  if (!file) refuse(`package ${dep} of ${dir} has no program ${name}`);
  return path.resolve(home, file);
}

function run(cwd, program, ...args) {
  const { error, signal, status } = spawnSync(process.execPath, [program, ...args], { cwd, stdio: "inherit" });
  if (error) refuse(`${program}: ${error.message}`);
  if (status !== 0) refuse(`${program} ended with ${signal ?? `status ${status}`}`);
}

async function step(upstream, work) {
  console.log(`+ ${upstream}`);
  await work();
}

const report = process.argv[2];
if (!report) refuse("its argument is missing: the file for what the bundler says");

compareUpstream();

// build_ui.sh: buildModule, in the order of `buildOrder=(lezer-promql codemirror-promql)`.
// module/lezer-promql/build.sh
await step("pnpm exec lezer-generator src/promql.grammar -o src/parser", () =>
  run(lezer, tool(lezer, "@lezer/generator", "lezer-generator"), "src/promql.grammar", "-o", "src/parser"));

await step("cat src/parser.terms.js >> src/parser.js", () =>
  appendFileSync(`${lezer}/src/parser.js`, readFileSync(`${lezer}/src/parser.terms.js`)));

await step("bash ./generate-types.sh", () => {
  // The text is the script's own: what stands between `cat <<EOF` and EOF,
  // with one expansion at its end, $(sed …), which drops trailing newlines.
  const script = readFileSync(`${lezer}/generate-types.sh`, "utf8");
  const parts = /<<EOF >> \$\{indexFile\}\n([^]*\n)\$\(sed -E 's\/ = \[0-9\]\+\/: number\/' src\/parser\.terms\.js\)\nEOF\n/.exec(script);
  if (!parts || /[$`\\]/.test(parts[1])) refuse("generate-types.sh is not the document this recipe reads");
  const terms = readFileSync(`${lezer}/src/parser.terms.js`, "utf8")
    .split("\n").map((line) => line.replace(/ = [0-9]+/, ": number")).join("\n").replace(/\n+$/, "");
  mkdirSync(`${lezer}/dist`, { recursive: true });
  writeFileSync(`${lezer}/dist/index.d.ts`, `${parts[1]}${terms}\n`);
});

await step("pnpm exec rollup -c", () => run(lezer, tool(lezer, "rollup", "rollup"), "-c"));

// module/codemirror-promql/build.sh: tsc and tsc6 are the workspace's.
const tsc = tool(".", "@typescript/native", "tsc");
const tsc6 = tool(".", "typescript", "tsc6");

await step("tsc --module esnext --target es2018 --outDir dist/esm", () =>
  run(codemirror, tsc, "--module", "esnext", "--target", "es2018", "--outDir", "dist/esm"));

await step("tsc6 --module commonjs --moduleResolution node --target es5 --outDir dist/cjs --downlevelIteration --ignoreDeprecations 6.0", () =>
  run(codemirror, tsc6, "--module", "commonjs", "--moduleResolution", "node", "--target", "es5",
    "--outDir", "dist/cjs", "--downlevelIteration", "--ignoreDeprecations", "6.0"));

// build_ui.sh: buildMantineUI
await step("tsc && vite build", async () => {
  run(mantine, tsc);
  // What vite's command does, in this process, with one plugin more.
  const { observer } = await import("./observer.mjs");
  const { build } = await import(pathToFileURL(createRequire(path.resolve(mantine, "package.json")).resolve("vite")));
  let said;
  const plugin = observer(mantine, "static/mantine-ui", (it) => { said = it; });
  const workspace = process.cwd();
  process.chdir(mantine);
  await build({ plugins: [plugin] });
  process.chdir(workspace);
  if (!said) refuse("the bundler did not say what it wrote");
  // Vite copies these past the bundler.
  for (const name of readdirSync(`${mantine}/public`, { recursive: true })) {
    const from = `${mantine}/public/${name}`;
    if (statSync(from).isFile()) said.files.push({ name: `static/mantine-ui/${name}`, chunk: false, from: [from] });
  }
  writeFileSync(report, JSON.stringify(said));
});

await step("mkdir -p ./static; rm -rf ./static/mantine-ui; mv ./mantine-ui/dist ./static/mantine-ui", () => {
  mkdirSync("static", { recursive: true });
  rmSync("static/mantine-ui", { recursive: true, force: true });
  renameSync("mantine-ui/dist", "static/mantine-ui");
});
