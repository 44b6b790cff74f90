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

/** The licences of the libraries in the bundle, as a file beside it. */
function licences() {
  const folderOf = (id) => /^.*\/node_modules\/(@[^/]+\/)?[^/]+\//.exec(id)?.[0];
  return {
    name: 'licences',
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap(({ moduleIds }) => moduleIds ?? []);
      const folders = new Set(modules.map(folderOf).filter((folder) => folder !== undefined));
      const texts = [...folders].sort().map((folder) => {
        const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
        return `${name} ${version} (${license})\n\n${licenceIn(folder)}`;
      });
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.join(`\n${'-'.repeat(80)}\n\n`) });
    },
  };
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

const command = {
  ...common,
  input: { gospy: 'dist/src/gospy.js' },
  plugins: [licences()],
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

export default [command, readAheadThread];
