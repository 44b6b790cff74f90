import { linesOf, type SharedLine, type SharedStack } from '../../analyze/report/shared-stacks.js';
import type { Loc } from '../../analyze/report/model.js';
import type { PageDocument, PageStack } from '../web/document.js';

/** Gives what is equal one number. */
class Numbers<T> {
  readonly items: T[] = [];
  readonly #byKey = new Map<string, number>();

  of(key: string, make: () => T): number {
    let number = this.#byKey.get(key);
    if (number === undefined) {
      this.#byKey.set(key, (number = this.items.length));
      this.items.push(make());
    }
    return number;
  }
}

/** The texts, places and stacks of a page, each of which it has once. */
export class PageTables {
  readonly #strings = new Numbers<string>();
  readonly #locs = new Numbers<PageDocument['locs'][number]>();
  readonly #stacks = new Numbers<PageStack>();
  /** Equal places are mostly the same object. */
  readonly #knownLocs = new WeakMap<Pick<Loc, 'func' | 'file' | 'line'>, number>();

  get strings(): readonly string[] {
    return this.#strings.items;
  }

  get locs(): PageDocument['locs'] {
    return this.#locs.items;
  }

  get stacks(): readonly PageStack[] {
    return this.#stacks.items;
  }

  string(text: string | null): number {
    return text === null ? -1 : this.#strings.of(text, () => text);
  }

  loc(loc: Pick<Loc, 'func' | 'file' | 'line'> | null): number {
    if (loc === null) return -1;
    let number = this.#knownLocs.get(loc);
    if (number === undefined) {
      const [func, file, line] = [this.string(loc.func), this.string(loc.file), loc.line];
      number = this.#locs.of(`${func} ${file} ${line}`, () => [func, file, line]);
      this.#knownLocs.set(loc, number);
    }
    return number;
  }

  frames(frames: Iterable<SharedLine>): number[] {
    return Array.from(frames, (frame) => 2 * this.loc(frame) + (frame.inlined ? 1 : 0));
  }

  stack(shared: SharedStack): number {
    const { truncated, user } = shared;
    const stack = { frames: this.frames(linesOf(shared)), truncated: this.string(truncated), user: this.loc(user) };
    return this.#stacks.of(`${stack.truncated} ${stack.user} ${stack.frames.join()}`, () => stack);
  }
}
