import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { usageError } from '../snapshots/errors.js';
import { fileError, systemCode } from '../snapshots/file-errors.js';
import { Hyperlinks } from './hyperlinks.js';
import type { Io } from './io.js';
import { asBuilt, withLine, type CodePlace, type PlaceOf } from './render/place.js';
import { printable } from './render/text.js';

/** A Go module in a checkout. */
interface Module {
  /** Its path, as `module` in go.mod names it. */
  readonly path: string;
  readonly folder: string;
}

/**
 * How places are shown: in the files of the checkout in `root` where it has them, else as the compiler named them; with links on
 * terminals that open them. Throws a usage error if there is no Go module in `root`.
 */
export function sourcePlaces(io: Io, root: string | undefined): PlaceOf {
  const checkout = root === undefined ? null : new Checkout(root);
  const links = io.takesLinks ? new Hyperlinks() : null;
  if (links !== null) io.links = links;
  const isHere = cached(isFile);
  return (place, columns) => {
    const file = checkout?.fileOf(place) ?? null;
    // Not cut: a path is given so that it can be opened.
    const shown = file === null ? asBuilt(place, columns) : withLine(printable(file), place.line);
    const path = file === null ? place.file : resolve(file);
    if (links !== null && isAbsolute(path) && isHere(path)) links.add(shown, path, place.line);
    return shown;
  };
}

/** A folder with the source of Go modules. */
class Checkout {
  readonly #modules: readonly Module[];
  readonly #isFile = cached(isFile);
  readonly #found = new Map<string, string | null>();

  /** Throws a usage error if there is neither go.mod nor go.work, and GospyError if one of them cannot be read. */
  constructor(root: string) {
    const folders = [root, ...workspaceFolders(root)];
    const modules = folders.flatMap((folder) => moduleIn(folder) ?? []);
    if (modules.length === 0) {
      const hint = 'name the folder with the go.mod of the program';
      throw usageError(`--source-root ${root}: there is no go.mod or go.work with a module in it`, { hint });
    }
    // The innermost module that a path can belong to comes first.
    this.#modules = modules.sort((a, b) => b.path.length - a.path.length);
  }

  /** The path of a file in the checkout, relative if that of the checkout is; null if it is not there. */
  fileOf({ func, file }: CodePlace): string | null {
    const pkg = packageOf(func);
    const key = `${pkg}\n${file}`;
    let found = this.#found.get(key);
    if (found === undefined) {
      found = file.split('/').includes('..') ? null : this.#find(pkg, file);
      this.#found.set(key, found);
    }
    return found;
  }

  #find(pkg: string, file: string): string | null {
    for (const { path, folder } of this.#modules) {
      const candidates = isAbsolute(file)
        ? pkg === 'main'
          ? mainCandidates(file, path, folder)
          : below(pkg, path).map((rest) => (`${dirname(file)}/`.endsWith(`/${rest}`) ? rest + basename(file) : ''))
        : trimmedCandidates(file, path);
      for (const rest of candidates) {
        const at = join(folder, rest);
        if (rest !== '' && this.#isFile(at)) return at;
      }
    }
    return null;
  }
}

/**
 * Where a file lies in a module, if its path is as -trimpath leaves it: below the path of the module, with its version where the
 * module was downloaded, as by `go install`.
 */
function trimmedCandidates(file: string, module: string): string[] {
  const [, rest] = file.startsWith(module) ? (/^(?:@[^/]+)?\/(.+)$/s.exec(file.slice(module.length)) ?? []) : [];
  return rest === undefined ? [] : [rest];
}

/** Where the folder of a package lies in its module, as `a/b/`; none if it is not in it. */
function below(pkg: string, module: string): string[] {
  return pkg === module ? [''] : pkg.startsWith(`${module}/`) ? [`${pkg.slice(module.length + 1)}/`] : [];
}

/**
 * Where a file of package main, whose name does not tell its folder, may lie in a module: the ends of its path, longest first.
 * The last element alone would fit too much: it takes a folder that is named like the module, or like the checkout.
 */
function mainCandidates(file: string, module: string, folder: string): string[] {
  const parts = file.split('/').slice(1);
  const ends = parts.slice(0, -1).map((_, i) => parts.slice(i).join('/'));
  const parent = parts.at(-2)?.replace(/@.*$/, '');
  const isTop = parent !== undefined && [basename(module), basename(resolve(folder))].includes(parent);
  return isTop ? [...ends, basename(file)] : ends;
}

/** The import path of a function's package. In names, the compiler escapes dots in its last element (cmd/internal/objabi). */
function packageOf(func: string): string {
  const [head = ''] = func.split(/[([]/, 1);
  const dot = head.indexOf('.', head.lastIndexOf('/') + 1);
  return (dot < 0 ? head : head.slice(0, dot)).replace(/%([0-9a-f]{2})/g, (_, code: string) =>
    String.fromCharCode(parseInt(code, 16)),
  );
}

/** The module of a folder (go.dev/ref/mod), or null if it has no go.mod. */
function moduleIn(folder: string): Module | null {
  const [path] = values(textOf(join(folder, 'go.mod')), 'module');
  return path === undefined ? null : { path, folder };
}

/** The folders that a go.work in `root` uses. */
function workspaceFolders(root: string): string[] {
  return values(textOf(join(root, 'go.work')), 'use').map((folder) =>
    isAbsolute(folder) ? folder : join(root, folder),
  );
}

/** What a directive of go.mod or go.work says, on its line or in parentheses. */
function values(text: string, directive: string): string[] {
  const found: string[] = [];
  let inBlock = false;
  for (const line of text.replace(/\/\/.*$/gm, '').split(/\r?\n/)) {
    const [first = '', ...rest] = line.trim().split(/\s+|(?<=\()|(?=[()])/);
    const words = inBlock ? [first, ...rest] : first === directive ? rest : [];
    if (words.includes('(')) inBlock = true;
    if (words.includes(')')) inBlock = false;
    found.push(...words.filter((word) => !/^[()]?$/.test(word)).map((word) => word.replace(/^(["`])(.*)\1$/, '$2')));
  }
  return found;
}

/** Empty if there is no such file. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return '';
    throw fileError(`--source-root: cannot read ${path}`, cause);
  }
}

/** A path out of a target may be anything: what cannot be a file is none. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function cached(ask: (path: string) => boolean): (path: string) => boolean {
  const known = new Map<string, boolean>();
  return (path) => {
    const answer = known.get(path) ?? ask(path);
    known.set(path, answer);
    return answer;
  };
}
