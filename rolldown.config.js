import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/*
 * Bundles the built command into dist/gospy/: Node needs about half a millisecond for each file that it loads, and a command
 * needs 120 to 160. The files are few and lie in one folder, two below the package, as those of dist/src do.
 */

/** What the commands that read a target load in any case. What they need of other rooms comes with them. */
const READING =
  /\/src\/(command-line|listing|export\/json)\.js$|\/src\/commands\/(?!demo|query)|\/analyze\/report\/all-runtimes\.js$/;

/** Modules whose code decides at run time what it loads, and native ones. */
const NOT_BUNDLED = ['ffi-rs', 'terminal-kit', '@duckdb/node-api'];

const PAGE = 'src/web';

/** The folders of the packages that are in a bundle. */
function packagesIn(bundle) {
  const folderOf = (id) => /^.*\/node_modules\/(@[^/]+\/)?[^/]+\//.exec(id)?.[0];
  const modules = Object.values(bundle).flatMap(({ moduleIds }) => moduleIds ?? []);
  return modules.map(folderOf).filter((folder) => folder !== undefined);
}

/** Those in the page, which is built before the command. */
let packagesInPage = [];

/** The licences of the libraries in the bundle and in the page, as a file beside it. */
function licences() {
  return {
    name: 'licences',
    generateBundle(_options, bundle) {
      const source = licencesOf([...packagesIn(bundle), ...packagesInPage]);
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source });
    },
  };
}

/** The licences of packages, each after its name and version. */
function licencesOf(folders) {
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return `${name} ${version} (${license})\n\n${licenceIn(folder)}`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

/** Throws where a library has no licence text: then it may not be bundled. */
function licenceIn(folder) {
  for (const name of ['LICENSE', 'LICENSE-MIT.txt', 'license']) {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  throw new Error(`${dirname(folder)}: no licence text in ${folder}`);
}

/**
 * Makes of the page's script, and of its style, a module with two texts: src/export/html.ts puts them into HTML. Characters
 * that are not ASCII are written as escapes, and nothing in the script ends a script element. Each page has the licences of the
 * libraries in it.
 */
function asTexts() {
  return {
    name: 'as-texts',
    generateBundle(_options, bundle) {
      packagesInPage = packagesIn(bundle);
      const [chunk] = Object.values(bundle);
      const escape = (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
      const code = `/*\n${licencesOf(packagesInPage)}*/\n${chunk.code}`;
      const script = code.replace(/[^\n -~]/g, escape).replace(/<(?=\/script|!--)/gi, '\\x3c');
      const style = readFileSync(join(PAGE, 'page.css'), 'utf8');
      chunk.code = `export const PAGE_SCRIPT = ${JSON.stringify(script.trim())};\nexport const PAGE_STYLE = ${JSON.stringify(style)};\n`;
    },
  };
}

/** Has JSON parsed as text when it is needed: V8 takes ten times as long to compile and to make the same object from a literal. */
function jsonAsText() {
  return {
    name: 'json-as-text',
    transform: {
      filter: { id: /\.json$/ },
      handler: (code) => ({
        code: `export default JSON.parse(${JSON.stringify(JSON.stringify(JSON.parse(code)))});`,
        moduleType: 'js',
      }),
    },
  };
}

/** The page that `export --format html` writes: one script for browsers. */
const page = {
  input: { bundle: join(PAGE, 'main.tsx') },
  platform: 'browser',
  // Imports name files as they are after compiling.
  resolve: { extensionAlias: { '.js': ['.ts', '.tsx', '.js'] } },
  plugins: [asTexts()],
  logLevel: 'warn',
  output: { dir: join('dist', PAGE), format: 'iife', entryFileNames: '[name].js', minify: true },
};

const common = {
  platform: 'node',
  external: NOT_BUNDLED,
  // Its entry for Node looks for a native library first, which takes longer than it saves.
  resolve: { alias: { msgpackr$: 'msgpackr/pack' } },
  // Imports that delay the loading of a file do no harm where the file comes along in any case.
  checks: { ineffectiveDynamicImport: false },
  logLevel: 'warn',
};
const output = {
  dir: 'dist/gospy',
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name].js',
  comments: { legal: true, annotation: false, jsdoc: false },
};

/**
 * The first lines of the executable. To a shell, the second one is a command that does nothing, and one that has Node run the file
 * with one thread for what V8 compiles, in place of four, which Node takes only when it starts. To Node it is a string and a comment.
 * A first line for `env` could not do that: BusyBox's gives a program no arguments.
 */
const IN_NODE = `#!/bin/sh
':' //; exec node --v8-pool-size=1 "$0" "$@"
`;

function startedByShell() {
  return {
    name: 'started-by-shell',
    generateBundle(_options, bundle) {
      const executable = bundle['gospy.js'];
      executable.code = executable.code.replace(/^#!.*\n/, () => IN_NODE);
    },
  };
}

const command = {
  ...common,
  input: { gospy: 'dist/src/gospy.js' },
  plugins: [jsonAsText(), licences(), startedByShell()],
  output: {
    ...output,
    codeSplitting: {
      groups: [
        // The executable waits for the command, and the files of the command import these: it cannot be among them.
        { name: 'start', tags: ['$initial'], test: (id) => !id.endsWith('/src/gospy.js'), priority: 3 },
        { name: 'read', test: READING, priority: 2 },
        { name: 'capture', test: /\/dist\/capture\//, priority: 1 },
      ],
    },
  },
};

/**
 * A file that runs as a worker is a bundle of its own: its URL, './NAME.js', is that of a file in this folder too. It has no
 * library that the command does not have.
 */
const readAheadThread = {
  ...common,
  input: { 'read-ahead-thread': 'dist/snapshots/gsp/read-ahead-thread.js' },
  output,
};

// One after another: the command has the page in it.
export default [page, command, readAheadThread];
