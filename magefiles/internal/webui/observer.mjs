// What the script of a recipe that builds a web interface sees of the bundler.
// It lies beside that script when it is run, and package webui, which put it
// there, reads what it hands over (see report in report.go).

import path from "node:path";
import process from "node:process";

// observer is a plugin of vite's that changes nothing and, once the bundler knows
// what it is about to write below to, and before that is compressed, hands over
// what it is made of:
//
//   modules   every module that it read: its id, below the workspace where it is
//             a file; whether and with how many bytes of script it is written;
//             the ids that it imports
//   files     what is written: a chunk of modules, or an asset and its sources
//   compiled  every module in Elm, with the script that was made of it
//
// The workspace is the working directory of the call; dir, below it, is vite's
// root, in which assets are named.
export function observer(dir, to, hand) {
  const workspace = process.cwd();
  const place = (id) => (path.isAbsolute(id) ? path.relative(workspace, id) : id);
  const compiled = [];
  return {
    name: "observer",
    enforce: "post",
    transform(code, id) {
      if (id.endsWith(".elm")) compiled.push({ id: place(id), code });
      return null;
    },
    generateBundle(_, bundle) {
      const written = new Map(), files = [];
      for (const out of Object.values(bundle)) {
        const chunk = out.type === "chunk";
        const from = chunk ? [] : out.originalFileNames.map((name) => place(path.resolve(workspace, dir, name)));
        files.push({ name: `${to}/${out.fileName}`, chunk, from });
        for (const [id, module] of chunk ? Object.entries(out.modules) : []) {
          written.set(id, (written.get(id) ?? 0) + module.renderedLength);
        }
      }
      // The bundler's own runtime is written and is no module that it read.
      const modules = [...new Set([...this.getModuleIds(), ...written.keys()])].map((id) => {
        const { importedIds = [], dynamicallyImportedIds = [] } = this.getModuleInfo(id) ?? {};
        const imports = [...importedIds, ...dynamicallyImportedIds].map(place);
        return { id: place(id), bundled: written.has(id), bytes: written.get(id) ?? 0, imports };
      });
      hand({ modules, files, compiled });
    },
  };
}
