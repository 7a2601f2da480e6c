// Builds the page into a folder: `node build.mjs [FOLDER] [--watch]`.
//
// Scripts get hashed names, so that browsers may keep them for good. index.html and worker.js keep theirs: the worker
// is shared by all tabs, also by those that were opened before a new build.
import { build, context } from "esbuild";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { lean } from "./lean.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder =
  process.argv.slice(2).find((it) => !it.startsWith("--")) ?? join(here, "../src/perdure/page");
const watch = process.argv.includes("--watch");

// Lit warns of a build for development, unless it is resolved with the condition "production".
const common = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  conditions: ["production"],
  tsconfig: join(here, "tsconfig.json"),
  outdir: folder,
  charset: "utf8",
};

const page = {
  name: "page",
  setup(build) {
    build.onEnd(async ({ errors, metafile }) => {
      if (errors.length) return;
      const [main] = Object.entries(metafile.outputs).find(
        ([, output]) => output.entryPoint === "src/main.ts",
      );
      const text = await readFile(join(here, "src/index.html"), "utf8");
      const needed = metafile.outputs[main].imports
        .filter(({ kind }) => kind === "import-statement")
        .map(({ path }) => `<link rel="modulepreload" href="./${basename(path)}" />`);
      await writeFile(
        join(folder, "index.html"),
        text.replace("main.js", basename(main)).replace("</head>", `${needed.join("")}</head>`),
      );
      const made = new Set([
        "index.html",
        "worker.js",
        ...Object.keys(metafile.outputs).map((it) => basename(it)),
      ]);
      for (const name of await readdir(folder)) if (!made.has(name)) await rm(join(folder, name));
    });
  },
};

// Modules that different pages share are files of their own, one for each set of pages; many small files take more
// bytes than a few, since each is compressed alone. So a module that is loaded later brings all of the frame with it:
// what the frame shares with any page is one file.
const later = new Set();
for (const entry of await readdir(join(here, "src"), { recursive: true, withFileTypes: true }))
  if (entry.isFile())
    for (const [, at] of (await readFile(join(entry.parentPath, entry.name), "utf8")).matchAll(
      /\bimport\("(.+)\.js"\)/g,
    ))
      later.add(join(entry.parentPath, `${at}.ts`));
const frame = `import ${JSON.stringify(join(here, "src/main.js"))};`;

// The indentation of templates would be sent with them. No line of a template may need the spaces at its beginning,
// not even inside <pre>.
const tight = {
  name: "tight",
  setup(build) {
    build.onLoad({ filter: /src[/\\].*\.ts$/ }, async ({ path }) => ({
      contents:
        (later.has(path) ? frame : "") + (await readFile(path, "utf8")).replace(/\n[ \t]+/g, "\n"),
      loader: "ts",
    }));
    build.onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => ({
      contents: lean(await readFile(path, "utf8")),
    }));
  },
};

const builds = [
  {
    ...common,
    entryPoints: ["src/main.ts"],
    splitting: true,
    metafile: true,
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    plugins: [tight, page],
  },
  { ...common, entryPoints: ["src/worker.ts"] },
];

await mkdir(folder, { recursive: true });
if (watch) {
  for (const options of builds) await (await context(options)).watch();
} else {
  await Promise.all(builds.map((options) => build(options)));
}
